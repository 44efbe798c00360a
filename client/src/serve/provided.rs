//! The gates that this plugin provides, and the links through which they are called: what the
//! control side changes and the dispatcher reads.
//!
//! Changes are rare and made under locks; each bumps a version. The dispatcher works on private
//! copies and takes new ones when the version has moved, so that no call takes a lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_layout::Code;
use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::CallKind;
use callgate_layout::stats::RECORDS;
use callgate_layout::version::Version;
use parking_lot::Mutex;

use super::changes::Changes;
use super::dispatch::Dispatch;
use super::grants::{Callable, Gate, Grant, Half, PeerGrants};
use super::limits::{Limit, Limits, Owner, at_a_time};
use super::options::GateOptions;
use super::outstanding::Outstanding;
use crate::base::error::{Error, Result};
use crate::handler::ErasedHandler;
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

/// What the dispatcher serves.
pub(crate) struct ProvidedGates {
    gates: Mutex<HashMap<Arc<str>, Gate>>,
    /// What was said of gates by name, whether they are provided or not. Locked after grants and `gates`, and nothing is
    /// locked while it is.
    options: Mutex<HashMap<Arc<str>, GateOptions>>,
    limits: Limits,
    peers: Mutex<Vec<Arc<PeerGrants>>>,
    /// Changes after everything else here has.
    version: Version,
    next_registration: AtomicU64,
    memory: Arc<OwnMemory>,
    /// Those of all plugins that the dispatcher serves.
    changes: Arc<Changes>,
    dispatch: Dispatch,
    owner: Owner,
}

impl ProvidedGates {
    pub(crate) fn new(
        memory: Arc<OwnMemory>,
        (changes, dispatch, outstanding): (Arc<Changes>, Dispatch, Arc<Outstanding>),
        (bus, plugin): (u64, u64),
    ) -> ProvidedGates {
        ProvidedGates {
            owner: Owner {
                bus,
                plugin,
                bell: memory.bell.clone(),
                outstanding,
            },
            dispatch,
            limits: Limits::default(),
            gates: Mutex::default(),
            options: Mutex::default(),
            peers: Mutex::default(),
            version: Version::new(),
            next_registration: AtomicU64::new(0),
            memory,
            changes,
        }
    }

    /// Puts a handler behind one half of a gate; the number of this registration takes it away
    /// again. Also gives the record in which the gate's calls are counted.
    pub(crate) fn insert(
        &self,
        name: &Arc<str>,
        kind: CallKind,
        fingerprint: u128,
        handler: Arc<dyn ErasedHandler>,
    ) -> Result<(u64, Option<u16>)> {
        let mut gates = self.gates.lock();
        let free = free_record(&gates);
        let gate = gates.entry(name.clone()).or_insert_with(|| {
            let record = free.inspect(|record| self.memory.status.clear_gate(*record));
            let options = self.options_of(name);
            Gate::new(name.clone(), record, (options, self.limit(name, options)))
        });
        let half = gate.half(kind);
        if half.is_some() {
            return Err(Error::new(
                Code::AlreadyProvided,
                "this plugin provides it already, or still holds the `Provider` of a gate that ended when the right \
                 to provide it was taken back: drop that `Provider` first",
            )
            .at_gate(name.clone()));
        }
        let registration = self.next_registration.fetch_add(1, Ordering::Relaxed);
        *half = Some(Half {
            registration,
            fingerprint,
            handler,
            is_offered: false,
        });
        let record = gate.record();
        drop(gates);
        self.changed();
        Ok((registration, record))
    }

    /// The broker lets others call it.
    pub(crate) fn offered(&self, name: &str, kind: CallKind, registration: u64) {
        if let Some(gate) = self.gates.lock().get_mut(name)
            && let Some(half) = gate.half(kind)
            && half.registration == registration
        {
            half.is_offered = true;
        }
    }

    /// Whether others can call one half of a gate, as far as this plugin is concerned.
    pub(crate) fn offers(&self, name: &str, kind: CallKind) -> bool {
        let mut gates = self.gates.lock();
        let half = gates
            .get_mut(name)
            .and_then(|gate| gate.half(kind).as_ref());
        half.is_some_and(|half| half.is_offered)
    }

    /// Takes a handler out. It may still be running.
    #[must_use = "what a handler has captured may come back here when it is dropped, or panic"]
    pub(crate) fn remove(
        &self,
        name: &Arc<str>,
        kind: CallKind,
        registration: u64,
    ) -> Option<Half> {
        let mut gates = self.gates.lock();
        let gate = gates.get_mut(name)?;
        let gone = gate
            .half(kind)
            .take_if(|half| half.registration == registration);
        let is_over = gate.function.is_none() && gate.action.is_none();
        let over = if is_over { gates.remove(name) } else { None };
        drop(gates);
        self.changed();
        // They are told that it is gone.
        if let Some(limit) = over.as_ref().and_then(Gate::limit) {
            limit.wake_visitors();
        }
        gone
    }

    /// Says how calls of a gate are run from now on.
    pub(crate) fn set_options(&self, name: &Arc<str>, options: GateOptions) {
        let mut gates = self.gates.lock();
        self.options.lock().insert(name.clone(), options);
        if let Some(gate) = gates.get_mut(name) {
            gate.set_options(options, self.limit(name, options));
        }
        drop(gates);
        self.changed();
    }

    fn limit(&self, name: &Arc<str>, options: GateOptions) -> Option<Arc<Limit>> {
        let calls = at_a_time(options, self.dispatch);
        self.limits.of(name, &self.owner, calls)
    }

    fn options_of(&self, name: &str) -> GateOptions {
        self.options.lock().get(name).copied().unwrap_or_default()
    }

    /// All that is provided.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, CallKind)> {
        let gates = self.gates.lock();
        let mut all = Vec::new();
        for (name, gate) in gates.iter() {
            all.extend(gate.kinds().map(|kind| (name.clone(), kind)));
        }
        all
    }

    /// Takes all handlers out.
    pub(crate) fn take_gates(&self) -> HashMap<Arc<str>, Gate> {
        std::mem::take(&mut *self.gates.lock())
    }

    fn look_up(&self, name: &str) -> Option<Gate> {
        self.gates.lock().get(name).cloned()
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

    /// What a peer may call now, by index.
    pub(crate) fn callable(&self, peer: &PeerGrants) -> Vec<Callable> {
        peer.callable(|name| self.look_up(name))
    }

    /// Which of the gates that a peer may call are re-entrant, by index; empty where none of this plugin's is.
    pub(crate) fn reentrant(&self, peer: &PeerGrants) -> Vec<bool> {
        // Not locked while grants are: who holds these looks gates up, and that takes the options.
        let reentrant: HashSet<Arc<str>> = {
            let options = self.options.lock();
            let reentrant = options.iter().filter(|(_, options)| options.is_reentrant());
            reentrant.map(|(name, _)| name.clone()).collect()
        };
        match reentrant.is_empty() {
            true => Vec::new(),
            false => peer.which(|name| reentrant.contains(name)),
        }
    }

    /// What the peer at the other end of a link may call under an index now.
    pub(crate) fn granted(&self, end: LinkEnd, index: u16) -> Callable {
        // A link that this side has let go leads nowhere; the other side will hear of it.
        self.peer(end).map_or(Callable::Absent, |peer| {
            peer.callable_as(index, |name| self.look_up(name))
        })
    }

    /// Makes the dispatcher take new copies, and direct callers look again.
    pub(crate) fn changed(&self) {
        self.version.changed();
        self.changes.changed();
        self.memory.bell.ring();
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.seen()
    }

    /// The number, unless this plugin closes.
    pub(crate) fn open_version(&self) -> Option<u64> {
        self.version.seen_open()
    }

    pub(crate) fn close(&self) {
        self.version.close();
        self.changes.changed();
        self.memory.bell.ring();
        self.limits.wake_visitors();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.version.is_closing()
    }
}

/// A record of the status page that no gate has.
fn free_record(gates: &HashMap<Arc<str>, Gate>) -> Option<u16> {
    let taken = |taken, gate: &Gate| taken | gate.record().map_or(0, |record| 1_u128 << record);
    let taken = gates.values().fold(0, taken);
    let free = taken.trailing_ones() as u16;
    (free < RECORDS).then_some(free)
}

const _: () = assert!(RECORDS as u32 <= u128::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    /// Two gates were counted in one record.
    #[test]
    fn a_record_is_one_gate_s() {
        let gate = |name: &str, record| {
            let name: Arc<str> = name.into();
            (
                name.clone(),
                Gate::new(name, record, (GateOptions::new(), None)),
            )
        };
        let mut gates = HashMap::new();
        assert_eq!(free_record(&gates), Some(0));
        gates.extend([
            gate("A.A", Some(0)),
            gate("A.B", Some(2)),
            gate("A.C", None),
        ]);
        assert_eq!(free_record(&gates), Some(1));
        gates.extend((0..RECORDS).map(|n| gate(&format!("B.{n}"), Some(n))));
        assert_eq!(free_record(&gates), None);
    }
}
