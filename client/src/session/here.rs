//! Which plugins are in this process: its end is not watched from inside.

use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

static PLUGINS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// The bus's own number, because two brokers may number their plugins alike.
    bus: u64,
    plugin: u64,
    /// A forked child has the list of its parent, whose plugins are not in the child.
    fork: ForkMark,
}

/// A plugin's place in the list, until this is dropped.
pub(crate) struct Here(Entry);

impl Here {
    pub(crate) fn new(bus: u64, plugin: u64) -> Here {
        let fork = ForkMark::here();
        let entry = Entry { bus, plugin, fork };
        PLUGINS.lock().push(entry);
        Here(entry)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        PLUGINS.lock().retain(|entry| *entry != self.0);
    }
}

/// Whether a plugin is in this very process.
pub(crate) fn is_here(bus: u64, plugin: u64) -> bool {
    let is_it = |entry: &Entry| (entry.bus, entry.plugin) == (bus, plugin) && entry.fork.is_here();
    PLUGINS.lock().iter().any(is_it)
}
