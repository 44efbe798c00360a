//! The plugins of this process. Their process is not watched from inside it, and what they provide is known here
//! without the broker.

use std::sync::{Arc, Weak};

use callgate_layout::envelope::CallKind;
use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use crate::link::peer::Caller;
use crate::serve::provided::ProvidedGates;

static PLUGINS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    /// The bus's number, because two brokers may give plugins the same numbers.
    bus: u64,
    plugin: Arc<Caller>,
    provided: Weak<ProvidedGates>,
    /// A forked child has a copy of its parent's list, but none of these plugins.
    fork: ForkMark,
}

impl Entry {
    fn is_of(&self, bus: u64) -> bool {
        self.bus == bus && self.fork.is_here()
    }
}

/// A plugin's entry in the list, which is removed when this is dropped.
pub(crate) struct Here(Arc<Caller>);

impl Here {
    pub(crate) fn new(bus: u64, plugin: &Arc<Caller>, provided: &Arc<ProvidedGates>) -> Here {
        PLUGINS.lock().push(Entry {
            bus,
            plugin: plugin.clone(),
            provided: Arc::downgrade(provided),
            fork: ForkMark::here(),
        });
        Here(plugin.clone())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let is_it = |entry: &Entry| Arc::ptr_eq(&entry.plugin, &self.0);
        PLUGINS.lock().retain(|entry| !is_it(entry));
    }
}

/// Whether a plugin is in this process.
pub(crate) fn is_here(bus: u64, plugin: u64) -> bool {
    let is_it = |entry: &Entry| entry.is_of(bus) && entry.plugin.plugin() == plugin;
    PLUGINS.lock().iter().any(is_it)
}

/// Whether a gate has one half, as far as this process can tell by itself: `true` if one of its plugins provides
/// it; `false` if `owner`, the plugin that is said to provide it, is here and does not. `None` if only the broker
/// knows.
pub(crate) fn has_here(bus: u64, gate: &str, kind: CallKind, owner: Option<&str>) -> Option<bool> {
    let (mut providers, mut is_owner_here) = (Vec::new(), false);
    for entry in PLUGINS.lock().iter().filter(|entry| entry.is_of(bus)) {
        is_owner_here |= owner == Some(entry.plugin.name());
        providers.extend(entry.provided.upgrade());
    }
    // The list is not locked any more, because dropping `providers` may drop the last reference to a plugin's
    // handlers.
    let mut offers = providers.iter().map(|provided| provided.offers(gate, kind));
    let is_provided = offers.try_fold(false, |any, offers| Some(any | offers?))?;
    (is_provided || is_owner_here).then_some(is_provided)
}
