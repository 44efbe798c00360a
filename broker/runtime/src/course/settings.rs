//! What a runtime is told by its host.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callgate::supervision::Restart;

use super::status::PluginStatus;
use crate::manifest::{Launchers, Reserved};

/// How much of the runtime's memory and time one plugin may take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that are kept for a plugin that does not read; 8 MiB by default. Beyond, its callers get `OVERLOADED`.
    pub queued_bytes: usize,
    /// How long a plugin may leave that queue full without reading anything of it before it is killed as hung; 10 s by default.
    pub stuck_for: Duration,
    /// The most malformed frames a second; 1,000 by default. Beyond, the plugin is killed (`PROTOCOL`).
    pub malformed_frames: u32,
    /// How much of the loop's time a plugin may take with what nobody has asked it for, in percent of the time that passes; 2 by default.
    /// That are its log lines, its events, its own calls and subscriptions, answers to no open request, and malformed frames; answers that
    /// somebody waits for are free. Beyond, its output is not read for a while, so that it waits in its writes. With 100 it is always read.
    pub unasked_percent: u32,
    /// How much of that time it may take at once, after it was quiet; 20 ms by default.
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

/// What a runtime was told when it was built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) launchers: Launchers,
    /// Where each plugin gets a folder of its own; in the plugin's own folder without it.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) restart: Restart,
    /// The gates of the host.
    pub(crate) reserved: Reserved,
    pub(crate) on_change: OnChange,
}

/// Who is told whenever a plugin's state is another one.
#[derive(Clone, Default)]
pub(crate) struct OnChange(Option<Arc<Hears>>);

type Hears = dyn Fn(&PluginStatus) + Send + Sync;

impl OnChange {
    pub(crate) fn new(call: impl Fn(&PluginStatus) + Send + Sync + 'static) -> OnChange {
        OnChange(Some(Arc::new(call)))
    }

    /// Whether somebody is told, who then says it to people.
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
