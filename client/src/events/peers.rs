//! The plugins that listen to this one: their status pages and doorbells, mapped once for each plugin, and the
//! budget of each.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::clock;
use callgate_layout::pages::Doorbell;
use callgate_layout::view::ReadView;
use parking_lot::Mutex;

use super::budget::Budget;
use crate::base::error::Result;
use crate::link::peer::Caller;

/// A plugin that listens to this one.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) who: Caller,
    /// The number of its bus.
    pub(crate) bus: u64,
    /// Its status page, with its cursors and whether its dispatcher sleeps.
    pub(crate) status: ReadView,
    pub(crate) bell: Doorbell,
    pub(crate) budget: Arc<Mutex<Budget>>,
}

/// The listening plugins of one membership, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<u64, Known>>);

#[derive(Debug)]
struct Known {
    peer: Weak<Peer>,
    /// Kept until it is full again, so that a plugin that leaves and comes back has no more than was left.
    budget: Arc<Mutex<Budget>>,
}

impl Known {
    fn is_over(&self, now: u64) -> bool {
        self.peer.strong_count() == 0 && self.budget.lock().is_whole(now)
    }
}

impl Peers {
    /// Returns the plugin with a number. If it has none mapped, `map` makes it.
    pub(crate) fn get(
        &self,
        plugin: u64,
        map: impl FnOnce(Arc<Mutex<Budget>>) -> Result<Arc<Peer>>,
    ) -> Result<Arc<Peer>> {
        let mut peers = self.0.lock();
        let known = peers.get(&plugin);
        if let Some(peer) = known.and_then(|known| known.peer.upgrade()) {
            return Ok(peer);
        }
        let now = clock::now();
        let budget = known.map(|known| known.budget.clone());
        let budget = budget.unwrap_or_else(|| Arc::new(Mutex::new(Budget::new(now))));
        let peer = map(budget.clone())?;
        peers.retain(|_, known| !known.is_over(now));
        let known = Known {
            peer: Arc::downgrade(&peer),
            budget,
        };
        peers.insert(plugin, known);
        Ok(peer)
    }
}

#[cfg(test)]
mod tests {
    use callgate_layout::Code;

    use super::*;
    use crate::base::error::Error;

    /// A listener that left and came back began with a full budget of a second.
    #[test]
    fn a_budget_outlives_its_listener_until_it_is_whole() {
        let peers = Peers::default();
        let nothing = || Error::new(Code::System, "nothing is mapped here");
        let known = |of: &Peers| of.0.lock().len();
        let (used, whole) = (clock::now(), Budget::new(0));
        let mut budget = whole;
        budget.spend(used - 1_000_000_000, used);
        for (plugin, budget) in [(1, budget), (2, whole)] {
            let budget = Arc::new(Mutex::new(budget));
            let peer = Weak::new();
            peers.0.lock().insert(plugin, Known { peer, budget });
        }
        let mut left = None;
        let peer = peers.get(1, |budget| {
            left = Some(budget.lock().left(used));
            Err(nothing())
        });
        assert!(peer.is_err());
        assert_eq!((left, known(&peers)), (Some(0), 2));
        peers.0.lock().retain(|_, known| !known.is_over(used));
        assert_eq!(known(&peers), 1);
    }
}
