//! How much a plugin may have.

use std::time::Duration;

/// How much one plugin may have of the services, and all of them.
///
/// ```
/// use callgate_services::Limits;
///
/// let limits = Limits::default().keys(1_000).bytes(1 << 20);
/// # let _ = limits;
/// ```
#[derive(Clone, Debug)]
#[must_use = "limits do nothing until `Builder::limits`"]
pub struct Limits {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    pub(crate) stores: usize,
    pub(crate) open_stores: usize,
    pub(crate) idle: Duration,
    pub(crate) tick_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            keys: 10_000,
            bytes: 16 << 20,
            stores: 1_000,
            open_stores: 16,
            idle: Duration::from_secs(30),
            tick_deadline: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The most keys of one plugin; 10,000 unless given.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().keys(100);
    /// # let _ = limits;
    /// ```
    pub fn keys(mut self, keys: u64) -> Limits {
        self.keys = keys;
        self
    }

    /// The most bytes of the keys and values of one plugin; 16 MiB unless given. Its file may be some times as large.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().bytes(1 << 20);
    /// # let _ = limits;
    /// ```
    pub fn bytes(mut self, bytes: u64) -> Limits {
        self.bytes = bytes;
        self
    }

    /// The most plugins that have a store; 1,000 unless given. Where plugins come that nobody chose, it bounds the disk.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().stores(50);
    /// # let _ = limits;
    /// ```
    pub fn stores(mut self, stores: usize) -> Limits {
        self.stores = stores;
        self
    }

    /// The most files that are open at a time; 16 unless given, and at least one. Beyond it, the one that was not used for longest
    /// is closed.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().open_stores(4);
    /// # let _ = limits;
    /// ```
    pub fn open_stores(mut self, stores: usize) -> Limits {
        self.open_stores = stores.max(1);
        self
    }

    /// How long a file stays open that is not used; 30 s unless given.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let limits = callgate_services::Limits::default().idle(Duration::from_secs(1));
    /// # let _ = limits;
    /// ```
    pub fn idle(mut self, idle: Duration) -> Limits {
        self.idle = idle;
        self
    }

    /// How long a tick of a schedule may take; 30 s unless given. One that takes longer is given up, and the next one is sent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let limits = callgate_services::Limits::default().tick_deadline(Duration::from_secs(5));
    /// # let _ = limits;
    /// ```
    pub fn tick_deadline(mut self, deadline: Duration) -> Limits {
        self.tick_deadline = deadline;
        self
    }
}
