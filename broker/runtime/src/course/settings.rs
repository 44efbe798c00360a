//! The settings that a host gives to a runtime.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callgate::supervision::Restart;

use super::status::PluginStatus;
use crate::manifest::{Launchers, Reserved};

/// Limits for the memory and time of the runtime that one plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that are queued for a plugin that does not read its stdin; 8 MiB by default. Beyond, calls to it fail with
    /// `OVERLOADED`.
    pub queued_bytes: usize,
    /// How long a plugin may leave that queue full without reading before it is killed as hung; 10 s by default.
    pub stuck_for: Duration,
    /// The most malformed frames in a second; 1,000 by default. Beyond, the plugin is killed (`PROTOCOL`).
    pub malformed_frames: u32,
    /// How much of the loop's time a plugin may use with output that nobody asked for, in percent of the time that passes; 2 by default.
    /// That output is its log lines, events, calls, subscriptions, answers to no open request, and malformed frames. Answers that a caller
    /// waits for are free. Beyond, the runtime pauses reading its output, so that the plugin blocks in its writes. With 100 it is never
    /// paused.
    pub unasked_percent: u32,
    /// How much of that time a plugin may use at once after it was quiet; 20 ms by default.
    pub unasked_burst: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queued_bytes: 8 << 20,
            stuck_for: Duration::from_secs(10),
            malformed_frames: 1000,
            unasked_percent: 2,
            unasked_burst: Duration::from_millis(20),
        }
    }
}

/// The settings of a runtime, collected by its builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) launchers: Launchers,
    /// The folder with a folder for each plugin's data; without it the data is in the plugin's own folder.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) restart: Restart,
    /// The gates that no plugin may provide, because the host does.
    pub(crate) reserved: Reserved,
    pub(crate) on_change: OnChange,
}

/// The callback of the host for changes of a plugin's state.
#[derive(Clone, Default)]
pub(crate) struct OnChange(Option<Arc<Hears>>);

type Hears = dyn Fn(&PluginStatus) + Send + Sync;

impl OnChange {
    pub(crate) fn new(call: impl Fn(&PluginStatus) + Send + Sync + 'static) -> OnChange {
        OnChange(Some(Arc::new(call)))
    }

    /// Whether the host has set a callback. Then the host reports crashes to people, and the runtime logs no warnings.
    pub(super) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn tell(&self, status: &PluginStatus) {
        if let Some(call) = &self.0 {
            call(status);
        }
    }
}

impl fmt::Debug for OnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnChange").field(&self.is_heard()).finish()
    }
}
