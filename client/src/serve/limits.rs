//! Limits: how many calls of a gate are handled at a time.
//!
//! A gate has a limit if its provider has set one, and in a pool of several threads, where it may use all of them
//! but one.
//!
//! A limit that the provider has set is about calls: each counts from the moment when its handler begins until the
//! handler has returned and the call was answered, whichever comes last. The limit of a pool is about its threads:
//! a call counts until its handler has returned, even if it is answered later, and direct calls do not count,
//! because they bring their own threads.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use callgate_layout::pages::Doorbell;
use callgate_layout::permits::{Asks, Entry, Permits};
use callgate_layout::sys::futex::{self, Awaited};
use parking_lot::Mutex;

use super::dispatch::Dispatch;
use super::options::GateOptions;
use super::outstanding::Outstanding;
use crate::base::chain::thread_number;

/// The limit of a gate, and the calls that wait for it.
pub(crate) struct Limit {
    permits: Permits,
    gate: Arc<str>,
    owner: OwnerNow,
}

/// The plugin to which a gate belongs, in its current membership.
#[derive(Clone)]
pub(super) struct OwnerNow(Arc<ArcSwap<Owner>>);

impl OwnerNow {
    pub(super) fn new(owner: Owner) -> OwnerNow {
        OwnerNow(Arc::new(ArcSwap::from_pointee(owner)))
    }

    /// Notes the new current membership.
    pub(super) fn set(&self, owner: Owner) {
        self.0.store(Arc::new(owner));
    }

    fn ring(&self) {
        self.0.load().bell.ring();
    }
}

/// A plugin in one membership.
pub(crate) struct Owner {
    pub(crate) bus: u64,
    pub(crate) plugin: u64,
    /// The doorbell of its dispatcher.
    pub(crate) bell: Arc<Doorbell>,
    /// The calls that its dispatcher has taken and that others will answer.
    pub(crate) outstanding: Arc<Outstanding>,
}

/// The limit of a gate with these options, for a plugin with this dispatch.
pub(super) fn at_a_time(options: GateOptions, dispatch: Dispatch) -> Option<u32> {
    match (options.calls_at_a_time(), dispatch) {
        (Some(calls), _) => Some(calls),
        (None, Dispatch::Pool(threads)) if threads > 1 => Some(threads - 1),
        _ => None,
    }
}

impl Limit {
    pub(super) fn new(owner: &OwnerNow, gate: Arc<str>, calls: u32) -> Limit {
        Limit {
            permits: Permits::new(calls),
            gate,
            owner: owner.clone(),
        }
    }

    /// Changes the limit, from the next call on; `None` lifts it.
    pub(super) fn change(&self, calls: Option<u32>) {
        self.permits.set_limit(calls.unwrap_or(u32::MAX));
        self.wake_visitors();
    }

    /// Takes a permit for a call, if it can have one.
    pub(super) fn enter(&self, chain: u64, asks: Asks) -> Option<Taken> {
        match self.permits.take(chain, asks, thread_number) {
            Entry::Full => None,
            Entry::Permit(number) => Some(Taken(Some(number))),
            Entry::Inside => Some(Taken(None)),
        }
    }

    /// As [`Limit::enter`], for a call that ends elsewhere.
    pub(crate) fn permit(self: &Arc<Limit>, chain: u64, asks: Asks) -> Option<Permit> {
        Some(self.keep(self.enter(chain, asks)?))
    }

    /// Hands a call's permit over to the code that knows when the call ends.
    pub(super) fn keep(self: &Arc<Limit>, taken: Taken) -> Permit {
        Permit {
            limit: self.clone(),
            taken: Some(taken),
        }
    }

    /// Whether a call could begin now.
    pub(super) fn could_enter(&self, chain: u64, asks: Asks) -> bool {
        self.permits.could_take(chain, asks)
    }

    /// Notes that calls wait in the dispatcher's queue. The dispatcher looks at the queue once more after this.
    pub(super) fn queue(&self) {
        self.permits.queue();
    }

    /// Notes that no call waits there any more.
    pub(super) fn unqueue(&self) {
        self.permits.unqueue();
    }

    /// Repeats `attempt` for a direct call, until it returns something or `sleep` says that the time is up. `sleep`
    /// gets the word to sleep on, and a function that tells whether that has changed.
    pub(crate) fn visit_until<T>(
        &self,
        attempt: impl FnMut() -> Option<T>,
        mut sleep: impl FnMut(Awaited<'_>, &dyn Fn() -> bool) -> bool,
    ) -> Option<T> {
        let permits = &self.permits;
        let sleep = |seen| {
            let word = Awaited::private(permits.word(), seen);
            sleep(word, &|| permits.seen() != seen)
        };
        let (outcome, tell_queue) = permits.wait_for(attempt, sleep);
        if tell_queue {
            self.owner.ring();
        }
        outcome
    }

    /// Has direct calls that wait look again.
    #[cold]
    pub(super) fn wake_visitors(&self) {
        self.permits.change();
        futex::wake_private(self.permits.word());
    }

    /// Gives a permit back. Returns whether calls wait in the dispatcher's queue; this thread then looks there, or
    /// wakes another one.
    pub(super) fn end(&self, taken: Taken) -> bool {
        let Taken(Some(number)) = taken else {
            return false;
        };
        let waiting = self.permits.end(number);
        if waiting.visitors {
            self.wake_visitors();
        }
        waiting.queue
    }
}

impl std::fmt::Debug for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limit")
            .field("gate", &self.gate)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

/// A call's share in its gate's limit: a permit, or nothing if another call of its chain has one.
#[derive(Debug)]
#[must_use = "it is given back to the limit"]
pub(crate) struct Taken(Option<u8>);

/// A call's share in its gate's limit, which is given back when this is dropped.
#[derive(Debug)]
#[must_use = "the call counts as long as this is there"]
pub(crate) struct Permit {
    limit: Arc<Limit>,
    taken: Option<Taken>,
}

impl Permit {
    /// Notes that the call's handler has returned, and has left the answer for later.
    pub(super) fn leave(&self) {
        if let Some(Taken(Some(number))) = self.taken {
            self.limit.permits.leave(number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.taken.take().is_some_and(|taken| self.limit.end(taken)) {
            self.limit.owner.ring();
        }
    }
}

/// The limits of all gates in this process.
static ALL: Mutex<Vec<Weak<Limit>>> = Mutex::new(Vec::new());

fn note(limit: &Arc<Limit>) {
    let mut all = ALL.lock();
    // Only now and then; so gates that come and go are forgotten.
    if all.len().is_power_of_two() {
        all.retain(|limit| limit.strong_count() > 0);
    }
    all.push(Arc::downgrade(limit));
}

/// A gate's permit that a handler on this thread's stack has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldPermit {
    pub(crate) bus: u64,
    pub(crate) plugin: u64,
    pub(crate) gate: Arc<str>,
    /// How many permits the gate has; 0 if calls may also be answered by threads that hold none.
    pub(crate) of: u32,
}

/// The limits of which handlers on this thread's stack have permits. Looks at all limits of the process, so it is
/// only for threads that have waited long.
fn of_this_thread() -> Vec<Arc<Limit>> {
    let me = thread_number();
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    let held = all.into_iter();
    held.filter(|limit| limit.permits.is_held_by(me)).collect()
}

/// The permits that the handlers on this thread's stack keep from others.
pub(crate) fn held_here() -> Vec<HeldPermit> {
    let held = of_this_thread();
    let held = held.iter().map(|limit| {
        let owner = limit.owner.0.load();
        HeldPermit {
            bus: owner.bus,
            plugin: owner.plugin,
            gate: limit.gate.clone(),
            of: match owner.outstanding.are_any() {
                true => 0,
                false => limit.permits.limit(),
            },
        }
    });
    held.collect()
}

/// The gates of which handlers on this thread's stack have permits, and how many permits each gate had at a moment.
#[derive(Clone, Default)]
pub(super) struct Had(Vec<(Arc<Limit>, u32)>);

impl Had {
    /// As of now.
    pub(super) fn here() -> Had {
        let held = of_this_thread().into_iter();
        let held = held.map(|limit| (limit.clone(), limit.permits.limit()));
        Had(held.collect())
    }

    /// Whether these gates still have as many permits.
    pub(super) fn is_as_it_was(&self) -> bool {
        let mut all = self.0.iter();
        all.all(|(limit, then)| limit.permits.limit() == *then)
    }
}

/// The limits of a plugin's gates, by name. A gate that is withdrawn and comes back while calls of it are under way
/// keeps its limit.
#[derive(Default)]
pub(super) struct Limits {
    by_gate: Mutex<HashMap<Arc<str>, Weak<Limit>>>,
}

impl Limits {
    /// The limit of a gate from now on.
    pub(super) fn of(
        &self,
        gate: &Arc<str>,
        owner: &OwnerNow,
        calls: Option<u32>,
    ) -> Option<Arc<Limit>> {
        let mut by_gate = self.by_gate.lock();
        if let Some(limit) = by_gate.get(gate).and_then(Weak::upgrade) {
            limit.change(calls);
            return calls.map(|_| limit);
        }
        let limit = Arc::new(Limit::new(owner, gate.clone(), calls?));
        note(&limit);
        // Only now and then; so gates that come and go are forgotten.
        if by_gate.len().is_power_of_two() {
            by_gate.retain(|_, limit| limit.strong_count() > 0);
        }
        by_gate.insert(gate.clone(), Arc::downgrade(&limit));
        Some(limit)
    }

    /// Has all direct calls that wait look again, because the plugin closes.
    pub(super) fn wake_visitors(&self) {
        let limits: Vec<_> = self.by_gate.lock().values().cloned().collect();
        let limits = limits.iter().filter_map(Weak::upgrade);
        limits.for_each(|limit| limit.wake_visitors());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One gate could take all threads of a pool, and others found none.
    #[test]
    fn a_gate_of_a_pool_leaves_a_thread_to_others() {
        let all = [
            (Dispatch::Thread, None),
            (Dispatch::Pool(1), None),
            (Dispatch::Pool(2), Some(1)),
            (Dispatch::Pool(5), Some(4)),
        ];
        for (dispatch, calls) in all {
            assert_eq!(
                at_a_time(GateOptions::default(), dispatch),
                calls,
                "{dispatch:?}"
            );
            assert_eq!(
                at_a_time(GateOptions::default().limit(3), dispatch),
                Some(3)
            );
        }
    }
}
