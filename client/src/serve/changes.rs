//! What a dispatcher has to notice: that something has changed, and that it has to end.

use std::sync::atomic::{AtomicU64, Ordering};

use callgate_layout::version::Version;

/// Counts the changes of all plugins that one dispatcher serves: of links, grants, gates, and of the plugins
/// themselves.
#[derive(Debug)]
pub(crate) struct Changes {
    version: Version,
    /// The version that the dispatcher has noticed last.
    noted: AtomicU64,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        Changes {
            version: Version::new(),
            noted: AtomicU64::new(0),
        }
    }

    /// Has the dispatcher copy again at its next look. Before this, the caller has counted the change in its
    /// plugin's own version; after it, it wakes the dispatcher.
    pub(crate) fn changed(&self) {
        self.version.one_changed();
    }

    /// To be called before the plugins' own versions are looked at, because this one has changed.
    pub(super) fn look_at_each(&self) {
        self.version.look_at_each();
    }

    /// Notes that the dispatcher has noticed this version.
    pub(super) fn note(&self, version: u64) {
        self.noted.fetch_max(version, Ordering::Relaxed);
    }

    /// Whether the dispatcher has noticed this version, or a later one.
    pub(super) fn has_noted(&self, version: u64) -> bool {
        self.noted.load(Ordering::Relaxed) >= version
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.seen()
    }

    /// Tells the dispatcher to end. Returns whether this is the first time.
    pub(crate) fn close(&self) -> bool {
        self.version.close()
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.version.is_closing()
    }
}
