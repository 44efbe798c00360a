//! A thread that waits for a call and takes the answers meanwhile.
//!
//! Where one thread sends calls and waits for them, nobody else has to be woken for their answers. So that thread
//! *leads* while it waits: it sleeps on the bell of the sent calls, takes the answers that have come, and sends calls
//! that waited for a slot. The thread that looks after sent calls leaves the bell to it. It looks from time to time
//! ([`PERIOD`]), and takes the bell back once no wait was led in between, so that answers which nobody asks for do
//! not keep their slots, and calls without a slot do not wait for a thread that does other work. While one wait goes
//! on for longer than that, it sleeps until the leader wakes it at the end of the wait.
//!
//! Only one thread leads, only while no other thread waits and no task was polled (both need the other thread), and
//! only outside of handlers. Everything here is decided under the lock of the calls. A leader never runs code of the
//! program: wakers are left to the thread that looks after calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_layout::bells::KeptBell;
use callgate_layout::clock;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::futex;

use super::completion::Outcome;
use super::lead::{Left, PERIOD};
use super::state::{Outcomes, State};
use super::{Awaited, SentCalls, Shared};
use crate::base::chain;
use crate::base::futex_refused;
use crate::link::own_memory::SentBell;
use crate::serve::dispatcher::serving_thread;

impl State {
    /// Decides whether the thread that looks after calls leaves the bell to leaders until its next look. `is_needed`:
    /// whether something else needs the bell.
    pub(super) fn leave_bell(&mut self, is_needed: bool) -> Left {
        let lead = &mut self.lead;
        let is_needed = is_needed || lead.followers > 0 || !self.asking.is_empty();
        let is_new = lead.begun != lead.seen;
        lead.seen = lead.begun;
        lead.left = match (is_new, lead.is_led) {
            _ if is_needed || self.is_closing => Left::Not,
            (true, _) => Left::ForAPeriod,
            (false, true) => Left::WhileLed,
            (false, false) => Left::Not,
        };
        lead.left
    }

    /// Whether a thread leads.
    pub(super) fn has_leader(&self) -> bool {
        self.lead.is_led
    }

    /// Whether the thread that looks after calls has left the bell to leaders, and looks before this deadline.
    pub(super) fn is_left_for(&self, deadline: u64) -> bool {
        self.lead.left == Left::ForAPeriod && deadline > clock::now() + PERIOD
    }

    /// Has the thread that looks after calls sleep on the bell. Returns whether it did not, and so has to be rung.
    pub(super) fn take_back_bell(&mut self) -> bool {
        std::mem::take(&mut self.lead.left) != Left::Not
    }

    /// Notes that no thread leads any more. Returns whether the thread that looks after calls has to be woken.
    fn end_leading(&mut self) -> bool {
        self.lead.is_led = false;
        self.lead.left == Left::WhileLed && self.take_back_bell()
    }

    /// Looks for a thread that has sent a call which has to wait for a slot, if answers have come since the last
    /// look and nobody else takes them now.
    pub(super) fn look_for_sender(&mut self, bell: &SentBell) -> Outcomes {
        let value = bell.taken().map(KeptBell::value);
        let is_free = self.lead.left != Left::Not && !self.lead.is_led;
        if !is_free || !self.waits() || self.lead.bell == value {
            return Outcomes::new();
        }
        self.lead.bell = value;
        self.look()
    }
}

/// What a leader has found.
enum Found {
    Outcome(Outcome),
    /// Its call is on no link any more: the thread that looks after calls has it, or has taken its outcome.
    Lost,
    /// Nothing yet. Whether calls wait for space, and whether many are under way.
    Nothing {
        waits: bool,
        are_many: bool,
    },
}

/// From this many calls under way on, a leader sleeps soon: they share the cost of the wake-up, and the thread that
/// answers needs the core.
const MANY: usize = 8;

/// A thread that waits without leading, or a task that was polled. While it lives, the thread that looks after calls
/// sleeps on the bell.
pub(crate) struct Follower {
    calls: Arc<Shared>,
    fork: ForkMark,
}

impl Drop for Follower {
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that does not exist there.
        if self.fork.is_here() {
            self.calls.state.lock().lead.followers -= 1;
        }
    }
}

/// A thread that leads, until this is dropped.
struct Leader<'a> {
    calls: &'a Shared,
    bell: Arc<SentBell>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let is_awaited = self.calls.state.lock().end_leading();
        if is_awaited {
            self.calls.wake_thread();
        }
    }
}

impl SentCalls {
    /// Has the thread that looks after calls take the answers.
    pub(crate) fn follow(&self) -> Follower {
        let was_left = {
            let mut state = self.shared.state.lock();
            state.lead.followers += 1;
            state.take_back_bell()
        };
        if was_left {
            self.shared.ring();
        }
        Follower {
            calls: self.shared.clone(),
            fork: self.fork,
        }
    }

    /// Waits for a call's outcome and takes the answers of all calls meanwhile. `None` if that is not for this
    /// thread, or not any more.
    pub(super) fn lead(&self, call: &Awaited<'_>) -> Option<Outcome> {
        if chain::current().is_some() || serving_thread::dispatchers().is_some() {
            return None;
        }
        let leader = self.shared.begin_leading(call.number)?;
        self.shared.lead(call, &leader.bell)
    }
}

impl Shared {
    /// Makes this thread the one that leads, if it may.
    fn begin_leading(&self, number: u64) -> Option<Leader<'_>> {
        // A plugin that has come back to a new broker has two bells for a while.
        let is_alone = self.pages.lock().len() == 1 && !self.has_pulled.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let lead = &state.lead;
        if !is_alone || lead.is_led || lead.followers > 0 || state.is_closing {
            return None;
        }
        let bell = state.link_of(number)?.sent_bell().clone();
        state.lead.is_led = true;
        state.lead.begun += 1;
        Some(Leader { calls: self, bell })
    }

    fn lead(&self, call: &Awaited<'_>, page: &SentBell) -> Option<Outcome> {
        let (bell, doorbell) = (page.taken()?, page.doorbell());
        let backoff = &call.origin.backoff;
        loop {
            // Read before the look: a ring after it ends the wait.
            let (seen, space) = (bell.value(), doorbell.value());
            let (waits, are_many) = match self.look_for(call, seen) {
                Found::Outcome(outcome) => return Some(outcome),
                Found::Lost => return None,
                Found::Nothing { waits, are_many } => (waits, are_many),
            };
            let is_over = || bell.value() != seen || waits && doorbell.value() != space;
            let until = || match are_many && !backoff.never_sleeps() {
                true => 0,
                false => call.deadline,
            };
            if backoff.stay_awake_until(until, is_over) {
                continue;
            }
            let start = clock::now();
            let word = bell.word(seen);
            match waits {
                true => futex::wait_any(&[word, doorbell.word_seen(space)], call.deadline),
                false => futex::wait_any(&[word], call.deadline),
            }
            backoff.learn(clock::now() - start);
            futex_refused::log();
        }
    }

    /// Takes the answers that have come.
    fn look_for(&self, call: &Awaited<'_>, bell: u32) -> Found {
        if let Some(outcome) = call.completion.take() {
            return Found::Outcome(outcome);
        }
        let (outcomes, needs_thread, is_here, nothing) = {
            let mut state = self.state.lock();
            state.lead.bell = Some(bell);
            let mut outcomes = state.look();
            if clock::now() >= call.deadline {
                outcomes.extend(state.end(call.number));
            }
            let needs_thread = !state.asking.is_empty() && state.take_back_bell();
            let is_here = state.link_of(call.number).is_some();
            let nothing = Found::Nothing {
                waits: state.waits(),
                are_many: state.count() >= MANY,
            };
            (outcomes, needs_thread, is_here, nothing)
        };
        if self.put(outcomes) || needs_thread {
            self.ring();
        }
        match call.completion.take() {
            Some(outcome) => Found::Outcome(outcome),
            None if is_here => nothing,
            None => Found::Lost,
        }
    }

    /// Puts outcomes into their completions. Returns whether there are tasks to be woken, which is left to the thread
    /// that looks after calls.
    pub(super) fn put(&self, outcomes: Outcomes) -> bool {
        let outcomes = outcomes.into_iter();
        let wakers = outcomes.filter_map(|(completion, outcome)| completion.complete(outcome));
        let wakers: Vec<_> = wakers.collect();
        let is_any = !wakers.is_empty();
        if is_any {
            self.wakers.lock().extend(wakers);
        }
        is_any
    }
}
