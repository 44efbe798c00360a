//! The plugins that listen to this one: their status pages and doorbells, mapped once for each of them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::pages::Doorbell;
use callgate_layout::view::ReadView;
use parking_lot::Mutex;

use crate::base::error::Result;
use crate::link::peer::Caller;

/// A plugin that listens.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) who: Caller,
    /// The number of its bus.
    pub(crate) bus: u64,
    /// Where its cursors are, and whether it sleeps.
    pub(crate) status: ReadView,
    pub(crate) bell: Doorbell,
}

/// Those of one membership, as long as they listen to anything.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<u64, Weak<Peer>>>);

impl Peers {
    /// The plugin of a number; where it is not known yet, what `map` makes.
    pub(crate) fn get(
        &self,
        plugin: u64,
        map: impl FnOnce() -> Result<Arc<Peer>>,
    ) -> Result<Arc<Peer>> {
        let mut peers = self.0.lock();
        if let Some(peer) = peers.get(&plugin).and_then(Weak::upgrade) {
            return Ok(peer);
        }
        let peer = map()?;
        peers.retain(|_, peer| peer.strong_count() > 0);
        peers.insert(plugin, Arc::downgrade(&peer));
        Ok(peer)
    }
}
