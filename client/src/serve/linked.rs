//! The links of one membership through which a plugin's gates are called, and what the peers may call there.

use std::sync::{Arc, Weak};

use callgate_layout::control::LinkEnd;
use callgate_layout::version::Version;
use parking_lot::Mutex;

use super::changes::Changes;
use super::grants::{Callable, Changed, Copied, Grant, PeerGrants};
use super::limits::Owner;
use super::provided::{Follows, ProvidedGates};
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

/// What a plugin provides, as the peers of one membership may call it.
pub(crate) struct LinkedGates {
    gates: Arc<ProvidedGates>,
    peers: Mutex<Vec<Arc<PeerGrants>>>,
    /// Changes after everything else has, the gates included.
    version: Version,
    memory: Arc<OwnMemory>,
    /// Those of all plugins that the dispatcher serves.
    changes: Arc<Changes>,
}

impl Follows for LinkedGates {
    fn changed(&self) {
        self.version.changed();
        self.changes.changed();
        self.memory.bell.ring();
    }

    fn clear_record(&self, record: u16) {
        self.memory.status.clear_gate(record);
    }
}

impl LinkedGates {
    /// One membership more through which the gates can be called: the current one, whose owner that is.
    pub(crate) fn new(
        gates: &Arc<ProvidedGates>,
        memory: &Arc<OwnMemory>,
        (changes, owner): (Arc<Changes>, Owner),
    ) -> Arc<LinkedGates> {
        let linked = Arc::new(LinkedGates {
            gates: gates.clone(),
            peers: Mutex::default(),
            version: Version::new(),
            memory: memory.clone(),
            changes,
        });
        let follower: Weak<LinkedGates> = Arc::downgrade(&linked);
        gates.add_follower(follower, owner);
        linked
    }

    /// The plugin's feeds have changed, or one of them is to be looked at.
    pub(crate) fn feeds_changed(&self) {
        self.changes.changed();
        self.memory.bell.ring();
    }

    /// Has the dispatcher look at what there is to do; what to ask [`LinkedGates::has_looked`] with.
    pub(crate) fn have_it_look(&self) -> u64 {
        self.changes.changed();
        let version = self.changes.version();
        self.memory.bell.ring();
        version
    }

    /// Whether the dispatcher has looked since.
    pub(crate) fn has_looked(&self, version: u64) -> bool {
        self.changes.has_noted(version)
    }

    /// How many turns of calls have ended.
    pub(super) fn turns_ended(&self) -> u64 {
        self.memory.status.calls()
    }

    /// The gates themselves.
    pub(crate) fn gates(&self) -> &Arc<ProvidedGates> {
        &self.gates
    }

    pub(crate) fn add_link(&self, link: Arc<Link>) {
        self.peers.lock().push(Arc::new(PeerGrants::new(link)));
        self.changed();
    }

    pub(crate) fn remove_link(&self, link: &Arc<Link>) {
        self.peers
            .lock()
            .retain(|peer| !Arc::ptr_eq(peer.link(), link));
        self.changed();
    }

    /// The links through which calls come in, with what each peer may call.
    pub(crate) fn peers(&self) -> Vec<Arc<PeerGrants>> {
        self.peers.lock().clone()
    }

    fn peer(&self, end: LinkEnd) -> Option<Arc<PeerGrants>> {
        let peers = self.peers.lock();
        peers.iter().find(|peer| peer.link().end() == end).cloned()
    }

    /// Lets a peer call a gate under an index; false where this side has let the link go.
    pub(crate) fn grant(&self, end: LinkEnd, index: u16, grant: Grant) -> bool {
        let peer = self.peer(end);
        if let Some(peer) = &peer {
            peer.grant(index, grant);
            self.changed();
        }
        peer.is_some()
    }

    /// A peer may not call what it called under some indexes.
    pub(crate) fn revoke(&self, end: LinkEnd, indexes: &[u16]) {
        if let Some(peer) = self.peer(end) {
            peer.revoke(indexes);
            self.changed();
        }
    }

    /// A peer may not call some gates any more, by their names.
    pub(crate) fn revoke_gates(&self, end: LinkEnd, gates: &[Arc<str>]) {
        if let Some(peer) = self.peer(end) {
            peer.revoke_gates(gates);
            self.changed();
        }
    }

    /// What a peer may call now, by index.
    pub(crate) fn callable(&self, peer: &PeerGrants) -> Copied {
        peer.callable(|name| self.gates.look_up(name))
    }

    /// What of that has changed, where the gates have not, since there were so many changes of the peer's grants;
    /// `None` where that is not known.
    pub(crate) fn changes(&self, peer: &PeerGrants, changes: u64) -> Option<Changed> {
        peer.changed(changes, |name| self.gates.look_up(name))
    }

    /// Which of the gates that a peer may call are re-entrant, by index; empty where none of this plugin's is.
    pub(crate) fn reentrant(&self, peer: &PeerGrants) -> Vec<bool> {
        match self.gates.any_reentrant() {
            true => peer.which(|name| self.gates.is_reentrant(name)),
            false => Vec::new(),
        }
    }

    /// What the peer at the other end of a link may call under an index now.
    pub(crate) fn granted(&self, end: LinkEnd, index: u16) -> Callable {
        // A link that this side has let go leads nowhere; the other side will hear of it.
        self.peer(end).map_or(Callable::Absent, |peer| {
            peer.callable_as(index, |name| self.gates.look_up(name))
        })
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.seen()
    }

    /// The number, unless the membership closes.
    pub(crate) fn open_version(&self) -> Option<u64> {
        self.version.seen_open()
    }

    /// The peers of this membership are served no more.
    pub(crate) fn close(&self) {
        self.version.close();
        self.changes.changed();
        self.memory.bell.ring();
        self.gates.wake_visitors();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.version.is_closing()
    }
}
