//! How much plugins may have of the services.

use std::time::Duration;

/// How much one plugin may have of the services, and how much all of them together.
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
    /// The most keys of one plugin; 10,000 unless it is set.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().keys(100);
    /// # let _ = limits;
    /// ```
    pub fn keys(mut self, keys: u64) -> Limits {
        self.keys = keys;
        self
    }

    /// The most bytes of all keys and values of one plugin; 16 MiB unless it is set. The plugin's file may be several times as large.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().bytes(1 << 20);
    /// # let _ = limits;
    /// ```
    pub fn bytes(mut self, bytes: u64) -> Limits {
        self.bytes = bytes;
        self
    }

    /// The most plugins that have a store; 1,000 unless it is set. On a bus that any program can join, this limits how much of the disk
    /// they use.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().stores(50);
    /// # let _ = limits;
    /// ```
    pub fn stores(mut self, stores: usize) -> Limits {
        self.stores = stores;
        self
    }

    /// The most files that are open at a time; 16 unless it is set, and at least one. When another one is opened, the one that was not used
    /// for the longest time is closed.
    ///
    /// ```
    /// let limits = callgate_services::Limits::default().open_stores(4);
    /// # let _ = limits;
    /// ```
    pub fn open_stores(mut self, stores: usize) -> Limits {
        self.open_stores = stores.max(1);
        self
    }

    /// How long an unused file stays open; 30 s unless it is set.
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

    /// How long a plugin may take for a tick of a schedule; 30 s unless it is set. A tick that takes longer is given up, and the next one
    /// is sent.
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
