//! What a dispatcher has to take note of: that anything changed, and its end.

use std::sync::atomic::{AtomicU64, Ordering};

use callgate_layout::version::Version;

/// The changes of all plugins that one dispatcher serves: links, grants, gates, and those plugins
/// themselves.
#[derive(Debug)]
pub(crate) struct Changes {
    version: Version,
    /// The version of which the dispatcher has taken note last.
    noted: AtomicU64,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        Changes {
            version: Version::new(),
            noted: AtomicU64::new(0),
        }
    }

    /// Makes the dispatcher take new copies at its next look; who changes something has counted it in its
    /// plugin's own number before, and wakes the dispatcher besides.
    pub(crate) fn changed(&self) {
        self.version.one_changed();
    }

    /// To be called before the plugins' own numbers are looked at, because this one has changed.
    pub(super) fn look_at_each(&self) {
        self.version.look_at_each();
    }

    /// The dispatcher has taken note of this version.
    pub(super) fn note(&self, version: u64) {
        self.noted.fetch_max(version, Ordering::Relaxed);
    }

    /// Whether the dispatcher has taken note of that version, or of a later one.
    pub(super) fn has_noted(&self, version: u64) -> bool {
        self.noted.load(Ordering::Relaxed) >= version
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.seen()
    }

    /// The dispatcher is to end; whether nobody said so before.
    pub(crate) fn close(&self) -> bool {
        self.version.close()
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.version.is_closing()
    }
}
