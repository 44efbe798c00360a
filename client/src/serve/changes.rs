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

    /// Makes the dispatcher take new copies at its next look; who changes something wakes it besides.
    pub(crate) fn changed(&self) {
        self.version.changed();
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
