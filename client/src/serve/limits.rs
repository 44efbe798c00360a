//! How many calls of a gate are handled at a time.
//!
//! A gate has a limit where its provider has said one, and on a pool of several threads, where it may have
//! all but one of them.
//!
//! What the provider has said is about calls: all of them, from the moment their handlers begin until these
//! have ended and the calls were answered, whichever comes last. What holds on a pool is about its threads:
//! a call has one until its handler has returned, also where it is answered later, and visitors bring their
//! own.

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

/// How many calls of a gate are handled at a time, and who waits for that.
pub(crate) struct Limit {
    permits: Permits,
    gate: Arc<str>,
    owner: OwnerNow,
}

/// The plugin whose gate it is, in its current membership.
#[derive(Clone)]
pub(super) struct OwnerNow(Arc<ArcSwap<Owner>>);

impl OwnerNow {
    pub(super) fn new(owner: Owner) -> OwnerNow {
        OwnerNow(Arc::new(ArcSwap::from_pointee(owner)))
    }

    /// There is a membership more, which is the current one from here on.
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
    /// What wakes its dispatcher.
    pub(crate) bell: Arc<Doorbell>,
    /// What its dispatcher has left to be answered by others.
    pub(crate) outstanding: Arc<Outstanding>,
}

/// How many calls of a gate of a plugin with this dispatch are handled at a time.
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

    /// Changes it, from the next call on; without one for as many calls as there can be.
    pub(super) fn change(&self, calls: Option<u32>) {
        self.permits.set_limit(calls.unwrap_or(u32::MAX));
        self.wake_visitors();
    }

    /// Takes a permit for a call, if there is one for it.
    pub(super) fn enter(&self, chain: u64, asks: Asks) -> Option<Taken> {
        match self.permits.take(chain, asks, thread_number) {
            Entry::Full => None,
            Entry::Permit(number) => Some(Taken(Some(number))),
            Entry::Inside => Some(Taken(None)),
        }
    }

    /// The same for a call whose end is known elsewhere.
    pub(crate) fn permit(self: &Arc<Limit>, chain: u64, asks: Asks) -> Option<Permit> {
        Some(self.keep(self.enter(chain, asks)?))
    }

    /// Leaves what a call has to who knows when it ends.
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

    /// Calls wait in the dispatcher's queue, which is looked at once more after this.
    pub(super) fn queue(&self) {
        self.permits.queue();
    }

    /// None waits there any more.
    pub(super) fn unqueue(&self) {
        self.permits.unqueue();
    }

    /// Tries `attempt`, for a visitor, until it gives something or `sleep` says that the time is up. It is
    /// told the word to sleep on, and whether that has changed.
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

    /// Has those that wait in this process look again.
    #[cold]
    pub(super) fn wake_visitors(&self) {
        self.permits.change();
        futex::wake_private(self.permits.word());
    }

    /// Gives a permit back; whether calls wait in the dispatcher's queue, to which this thread returns or
    /// of which it tells another.
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

/// What a call under way has of its gate's limit: a permit, or none where another call of its chain has one.
#[derive(Debug)]
#[must_use = "it is given back to the limit"]
pub(crate) struct Taken(Option<u8>);

/// The same, given back when it is dropped.
#[derive(Debug)]
#[must_use = "the call counts as long as this is there"]
pub(crate) struct Permit {
    limit: Arc<Limit>,
    taken: Option<Taken>,
}

impl Permit {
    /// The handler of the call has returned, and has left it to be answered later.
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
    // Now and then, so that gates that come and go are forgotten.
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
    /// How many permits the gate has; 0 where others than those who hold them may answer its calls.
    pub(crate) of: u32,
}

/// The limits of which the handlers on this thread's stack have permits. It looks at every limit of the
/// process: for threads that have waited for long.
fn of_this_thread() -> Vec<Arc<Limit>> {
    let me = thread_number();
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    let held = all.into_iter();
    held.filter(|limit| limit.permits.is_held_by(me)).collect()
}

/// What the handlers on this thread's stack keep from others of the limited gates of all plugins.
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

/// How many permits the gates had at a moment of which the handlers on this thread's stack have one.
#[derive(Clone, Default)]
pub(super) struct Had(Vec<(Arc<Limit>, u32)>);

impl Had {
    /// As it is now.
    pub(super) fn here() -> Had {
        let held = of_this_thread().into_iter();
        let held = held.map(|limit| (limit.clone(), limit.permits.limit()));
        Had(held.collect())
    }

    /// Whether they have as many.
    pub(super) fn is_as_it_was(&self) -> bool {
        let mut all = self.0.iter();
        all.all(|(limit, then)| limit.permits.limit() == *then)
    }
}

/// The limits of a plugin's gates by name: one that is withdrawn and comes back while calls of it are
/// under way has the same.
#[derive(Default)]
pub(super) struct Limits {
    by_gate: Mutex<HashMap<Arc<str>, Weak<Limit>>>,
}

impl Limits {
    /// The limit of a gate as it is to be from now on.
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
        // Now and then, so that gates that come and go are forgotten.
        if by_gate.len().is_power_of_two() {
            by_gate.retain(|_, limit| limit.strong_count() > 0);
        }
        by_gate.insert(gate.clone(), Arc::downgrade(&limit));
        Some(limit)
    }

    /// Has everybody look again who waits in this process, because the plugin closes.
    pub(super) fn wake_visitors(&self) {
        let limits: Vec<_> = self.by_gate.lock().values().cloned().collect();
        let limits = limits.iter().filter_map(Weak::upgrade);
        limits.for_each(|limit| limit.wake_visitors());
    }
}
