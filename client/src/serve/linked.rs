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
    /// Incremented after each change of anything else here, including the gates.
    version: Version,
    memory: Arc<OwnMemory>,
    /// The changes of all plugins that the dispatcher serves.
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
    /// Makes the gates callable in one more membership, which is the current one; `owner` is the plugin there.
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

    /// Has the dispatcher look at the plugin's feeds, because their list has changed or one has something.
    pub(crate) fn feeds_changed(&self) {
        self.changes.changed();
        self.memory.bell.ring();
    }

    /// Has the dispatcher look whether there is something to do. Returns the version to pass to
    /// [`LinkedGates::has_looked`].
    pub(crate) fn have_it_look(&self) -> u64 {
        self.changes.changed();
        let version = self.changes.version();
        self.memory.bell.ring();
        version
    }

    /// Whether the dispatcher has looked since that version.
    pub(crate) fn has_looked(&self, version: u64) -> bool {
        self.changes.has_noted(version)
    }

    /// How many calls have ended their turns.
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

    /// Grants a gate to a peer, under an index. Returns `false` if this side has dropped the link.
    pub(crate) fn grant(&self, end: LinkEnd, index: u16, grant: Grant) -> bool {
        let peer = self.peer(end);
        if let Some(peer) = &peer {
            peer.grant(index, grant);
            self.changed();
        }
        peer.is_some()
    }

    /// Revokes grants of a peer by index.
    pub(crate) fn revoke(&self, end: LinkEnd, indexes: &[u16]) {
        if let Some(peer) = self.peer(end) {
            peer.revoke(indexes);
            self.changed();
        }
    }

    /// Revokes a peer's grants of these gates.
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

    /// What has changed in that since the given number of changes of the peer's grants, if the gates have not
    /// changed; `None` if that is not known any more.
    pub(crate) fn changes(&self, peer: &PeerGrants, changes: u64) -> Option<Changed> {
        peer.changed(changes, |name| self.gates.look_up(name))
    }

    /// For each index, whether the peer's gate there is re-entrant; empty if no gate of this plugin is.
    pub(crate) fn reentrant(&self, peer: &PeerGrants) -> Vec<bool> {
        match self.gates.any_reentrant() {
            true => peer.which(|name| self.gates.is_reentrant(name)),
            false => Vec::new(),
        }
    }

    /// What the peer at the other end of a link may call under an index now.
    pub(crate) fn granted(&self, end: LinkEnd, index: u16) -> Callable {
        // A link that this side has dropped leads nowhere; the other side will be told.
        self.peer(end).map_or(Callable::Absent, |peer| {
            peer.callable_as(index, |name| self.gates.look_up(name))
        })
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.seen()
    }

    /// The version; `None` if the membership closes.
    pub(crate) fn open_version(&self) -> Option<u64> {
        self.version.seen_open()
    }

    /// Stops serving the peers of this membership.
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
