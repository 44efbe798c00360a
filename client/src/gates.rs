//! The gates that this plugin provides, and the links through which they are called: what the
//! control side changes and the dispatcher reads.
//!
//! Changes are rare and made under locks; each bumps a version. The dispatcher works on private
//! copies and takes new ones when the version has moved, so that no call takes a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use callgate_layout::Code;
use callgate_layout::bells::Bells;
use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::CallKind;
use callgate_layout::pages::{Doorbell, Status};
use callgate_layout::stats::RECORDS;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::handler::ErasedHandler;
use crate::link::Link;
use crate::serve::{not_granted, not_provided};

/// One half of a provided gate.
#[derive(Clone)]
pub(crate) struct Half {
    /// Which registration this is, so that a late withdrawal does not remove its successor.
    token: u64,
    /// What it takes and gives.
    fingerprint: u128,
    handler: Arc<dyn ErasedHandler>,
}

/// What a peer was granted under an index: a gate, with the types of its halves as the broker knew
/// them. A call that was laid out for those may still be on its way when the gate comes back with
/// others, and must not be read as if it were one of theirs.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) gate: Arc<str>,
    pub(crate) function: Option<u128>,
    pub(crate) action: Option<u128>,
}

impl Granted {
    /// The gate as it may be called under this index: without the halves that have other types
    /// now, or that it did not have yet.
    pub(crate) fn pin(&self, mut gate: Gate) -> Gate {
        for (pinned, half) in [
            (self.function, &mut gate.function),
            (self.action, &mut gate.action),
        ] {
            // Not dropped here: it may be the last one by now, and locks are held.
            let other = half.take_if(|half| pinned != Some(half.fingerprint));
            gate.unseen.extend(other);
        }
        gate
    }
}

/// A gate's handlers as the dispatcher holds them.
#[derive(Clone)]
pub(crate) struct Gate {
    name: Arc<str>,
    /// Where its calls are counted, if the status page has room for it.
    record: Option<u16>,
    function: Option<Half>,
    action: Option<Half>,
    /// Halves that may not be called here.
    unseen: Vec<Half>,
}

impl Gate {
    fn half(&mut self, kind: CallKind) -> &mut Option<Half> {
        match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(crate) fn record(&self) -> Option<u16> {
        self.record
    }

    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Option<&dyn ErasedHandler> {
        let half = match kind {
            CallKind::Function => &self.function,
            CallKind::Action => &self.action,
        };
        half.as_ref().map(|half| &*half.handler)
    }
}

/// What lies behind an index of a link.
#[derive(Clone)]
pub(crate) enum Callable {
    /// Nothing that the peer may call.
    Refused,
    /// A gate that it may call, but that is not provided now.
    Absent,
    /// A gate.
    Here(Gate),
}

impl Callable {
    /// What lies behind a grant now.
    pub(crate) fn behind(
        granted: Option<&Granted>,
        look_up: impl Fn(&str) -> Option<Gate>,
    ) -> Callable {
        match granted {
            None => Callable::Refused,
            Some(granted) => match look_up(&granted.gate) {
                Some(gate) => Callable::Here(granted.pin(gate)),
                None => Callable::Absent,
            },
        }
    }

    /// What runs a call of one of the gate's halves.
    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Result<(&Gate, &dyn ErasedHandler)> {
        let gate = match self {
            Callable::Here(gate) => gate,
            Callable::Absent => return Err(not_provided(kind)),
            Callable::Refused => return Err(not_granted()),
        };
        let handler = gate.handler(kind).ok_or_else(|| not_provided(kind))?;
        Ok((gate, handler))
    }
}

/// What the dispatcher serves.
pub(crate) struct Served {
    gates: Mutex<HashMap<Arc<str>, Gate>>,
    links: Mutex<Vec<Arc<Link>>>,
    /// Changes after everything else here has.
    version: AtomicU64,
    closing: AtomicBool,
    next_token: AtomicU64,
    pub(crate) bell: Arc<Doorbell>,
    /// The bells of this plugin's callers.
    pub(crate) bells: Arc<Bells>,
    pub(crate) status: Status,
}

impl Served {
    pub(crate) fn new(bell: Doorbell, status: Status) -> Served {
        let bell = Arc::new(bell);
        Served {
            gates: Mutex::default(),
            links: Mutex::default(),
            version: AtomicU64::new(1),
            closing: AtomicBool::new(false),
            next_token: AtomicU64::new(0),
            bells: Arc::new(Bells::new(bell.clone())),
            bell,
            status,
        }
    }

    /// Puts a handler behind one half of a gate; the token takes it away again. Also gives the
    /// record in which the gate's calls are counted.
    pub(crate) fn insert(
        &self,
        name: &Arc<str>,
        kind: CallKind,
        fingerprint: u128,
        handler: Arc<dyn ErasedHandler>,
    ) -> Result<(u64, Option<u16>)> {
        let mut gates = self.gates.lock();
        let free = free_record(&gates);
        let gate = gates.entry(name.clone()).or_insert_with(|| Gate {
            name: name.clone(),
            record: free.inspect(|record| self.status.clear_gate(*record)),
            function: None,
            action: None,
            unseen: Vec::new(),
        });
        let half = gate.half(kind);
        if half.is_some() {
            return Err(Error::new(
                Code::AlreadyProvided,
                "this plugin provides it already: drop the first provider before registering anew",
            )
            .at_gate(name.clone()));
        }
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        *half = Some(Half {
            token,
            fingerprint,
            handler,
        });
        let record = gate.record;
        drop(gates);
        self.changed();
        Ok((token, record))
    }

    /// Takes a handler out. It may still be running.
    #[must_use = "what a handler has captured may come back here when it is dropped, or panic"]
    pub(crate) fn remove(&self, name: &Arc<str>, kind: CallKind, token: u64) -> Option<Half> {
        let mut gates = self.gates.lock();
        let gate = gates.get_mut(name)?;
        let gone = gate.half(kind).take_if(|half| half.token == token);
        if gate.function.is_none() && gate.action.is_none() {
            gates.remove(name);
        }
        drop(gates);
        self.changed();
        gone
    }

    /// Takes all handlers out.
    pub(crate) fn take_gates(&self) -> HashMap<Arc<str>, Gate> {
        std::mem::take(&mut *self.gates.lock())
    }

    pub(crate) fn look_up(&self, name: &str) -> Option<Gate> {
        self.gates.lock().get(name).cloned()
    }

    pub(crate) fn add_link(&self, link: Arc<Link>) {
        self.links.lock().push(link);
        self.changed();
    }

    pub(crate) fn remove_link(&self, link: &Arc<Link>) {
        self.links.lock().retain(|other| !Arc::ptr_eq(other, link));
        self.changed();
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().clone()
    }

    /// What the peer at the other end of a link may call under an index now.
    pub(crate) fn granted(&self, end: LinkEnd, index: u16) -> Callable {
        let links = self.links.lock();
        let link = links.iter().find(|link| link.end() == end).cloned();
        drop(links);
        // A link that this side has let go leads nowhere; the other side will hear of it.
        link.map_or(Callable::Absent, |link| {
            link.callable_as(index, |name| self.look_up(name))
        })
    }

    /// Makes the dispatcher take new copies.
    pub(crate) fn changed(&self) {
        // SERVED-CHANGED: release here, acquire in `version`, so that who sees the new number
        // finds the change under the lock.
        self.version.fetch_add(1, Ordering::Release);
        self.bell.ring();
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        // SERVED-CHANGED, acquire.
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// A record of the status page that no gate has.
fn free_record(gates: &HashMap<Arc<str>, Gate>) -> Option<u16> {
    let taken = |taken, gate: &Gate| taken | gate.record.map_or(0, |record| 1_u128 << record);
    let taken = gates.values().fold(0, taken);
    let free = taken.trailing_ones() as u16;
    (free < RECORDS).then_some(free)
}

const _: () = assert!(RECORDS as u32 <= u128::BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::erase;

    fn gate(fingerprint: u128) -> Gate {
        let half = Half {
            token: 0,
            fingerprint,
            handler: erase(|n: u32| n),
        };
        Gate {
            name: "A.B".into(),
            record: None,
            function: Some(half),
            action: None,
            unseen: Vec::new(),
        }
    }

    /// A gate came back with other types; a call made for the old ones was still in the ring, and
    /// its bytes were read as the new ones.
    #[test]
    fn an_index_never_leads_to_other_types() {
        let granted = |function| Granted {
            gate: "A.B".into(),
            function,
            action: Some(2),
        };
        let leads =
            |granted: Granted, now| granted.pin(gate(now)).handler(CallKind::Function).is_some();
        assert!(leads(granted(Some(1)), 1));
        assert!(!leads(granted(Some(1)), 2));
        assert!(!leads(granted(None), 2), "a half that nobody granted");
    }
}
