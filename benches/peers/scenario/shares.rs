//! The scenarios for shares.

/// A scenario of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shares {
    /// Getting a share that the plugin has already.
    Get,
    /// Getting 64 MiB for the first time, and looking at each page of it.
    FirstGet,
    /// Publishing so many bytes, until another process has looked at each page of them.
    Publish(usize),
}

/// Bytes of a large share.
pub(crate) const LARGE: usize = 64 << 20;

impl Shares {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shares::Get => "share/get",
            Shares::FirstGet => "share/first-get/64MiB",
            Shares::Publish(LARGE) => "share/publish/64MiB",
            Shares::Publish(_) => "share/publish/4KiB",
        }
    }

    pub(crate) fn placement(self) -> &'static str {
        match self {
            Shares::Get => "one thread, not pinned",
            Shares::FirstGet => "who gets it on core 0, who has it on core 1",
            Shares::Publish(_) => "who publishes on core 0, who waits for it on core 1",
        }
    }

    /// The bytes of the share.
    pub(crate) fn len(self) -> usize {
        match self {
            Shares::Publish(len) => len,
            _ => LARGE,
        }
    }

    /// Whether it is between a pair of processes.
    pub(crate) fn is_pair(self) -> bool {
        self != Shares::Get
    }
}
