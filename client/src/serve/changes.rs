//! What a dispatcher has to take note of: that anything changed, and its end.

use callgate_layout::version::Version;

/// The changes of all plugins that one dispatcher serves: links, grants, gates, and those plugins
/// themselves.
#[derive(Debug)]
pub(crate) struct Changes {
    version: Version,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        Changes {
            version: Version::new(),
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
