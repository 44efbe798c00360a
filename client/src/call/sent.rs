//! Calls that are sent and not waited for on a thread: each is told of by a completion, which a future
//! or a thread waits for.
//!
//! One thread looks after all of them. It sleeps on a bell that each such call names before it is
//! published, takes the answers that are there, sends what waited for a slot, and tells of deadlines and
//! of links that have ended. Calls for which there is no slot wait in private memory, by link and gate, in
//! the order in which they came.
//!
//! Wakers are the program's: they may send, wait for other calls, drop their plugin, panic, and take their
//! time. So they are called when nothing is locked, and when all outcomes of that look are in their places;
//! and who waits for a call on a thread ends it at its deadline by itself.

mod completion;
mod links;
mod outcome;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use callgate_layout::bells::KeptBell;
use callgate_layout::envelope::CallKind;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::futex;
use callgate_layout::{Code, clock};
use parking_lot::Mutex;

use super::space::check_here;
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::base::thread::{discard, join, spawn, wake};
use crate::link::Link;
use crate::link::own_memory::{OwnDoorbell, OwnMemory};

pub(crate) use completion::Completion;
use links::{Ended, LinkCalls};
pub(crate) use outcome::Awaited;
pub(crate) use sharing::Sender;

/// A call to be sent.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) bytes: Box<[u8]>,
}

/// The calls of a plugin, or of those that share its doorbell, that are under way and that no thread waits
/// for.
#[derive(Debug)]
pub(crate) struct SentCalls {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    fork: ForkMark,
}

#[derive(Debug)]
struct Shared {
    doorbell: OwnDoorbell,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// There is one as long as the thread runs.
    bell: Option<Arc<KeptBell>>,
    links: Vec<LinkCalls>,
    /// The link of each call that is not over.
    calls: BTreeMap<u64, Arc<Link>>,
    /// When each of them has to be over.
    deadlines: BTreeSet<(u64, u64)>,
    last: u64,
    /// How many plugins have not closed.
    plugins: usize,
    /// Whether the last of them has.
    is_closing: bool,
}

/// What came of calls, to be told when nothing is locked: who is told may call this very plugin.
type Outcomes = Vec<(Arc<Completion>, Result<Bytes>)>;

impl SentCalls {
    /// Those of a plugin with this memory.
    fn new(memory: &OwnMemory) -> SentCalls {
        let state = State {
            plugins: 1,
            ..State::default()
        };
        SentCalls {
            shared: Arc::new(Shared {
                doorbell: memory.doorbell(),
                state: Mutex::new(state),
            }),
            thread: Mutex::new(None),
            fork: ForkMark::here(),
        }
    }

    /// Sends a call, now or as soon as there is a slot; the completion is told what came of it.
    pub(crate) fn send(
        &self,
        link: &Arc<Link>,
        call: Outbound,
        completion: Arc<Completion>,
    ) -> Result<u64> {
        check_here(link)?;
        let bell = self.start()?;
        link.set_late_bell(bell.number());
        let mut state = self.shared.state.lock();
        if state.is_closing {
            return Err(closed());
        }
        state.last += 1;
        let (number, deadline) = (state.last, call.deadline);
        let is_next = state
            .deadlines
            .first()
            .is_none_or(|(first, _)| deadline < *first);
        let sent = state.of_link(link).send(&bell, (number, call), completion);
        // A link that has ended is not to be kept for a call that could not be sent.
        let waits_first = sent.inspect_err(|_| state.forget_idle())?;
        state.calls.insert(number, link.clone());
        state.deadlines.insert((deadline, number));
        drop(state);
        // The thread sleeps until a later time, or does not know that a call of this gate waits.
        if is_next || waits_first {
            bell.ring();
        }
        Ok(number)
    }

    /// Gives a call up: nobody is told what comes of it. Who waits for a slot hears of one that this gives
    /// back, now or with the late answer.
    pub(crate) fn give_up(&self, number: u64) {
        let forgotten = self.shared.state.lock().forget(number);
        // Its waker is the program's.
        discard(forgotten);
    }

    /// Starts the thread, if there is none yet.
    fn start(&self) -> Result<Arc<KeptBell>> {
        let mut thread = self.thread.lock();
        {
            let state = self.shared.state.lock();
            if state.is_closing {
                return Err(closed());
            }
            if let Some(bell) = &state.bell {
                return Ok(bell.clone());
            }
        }
        let bell = KeptBell::take(&self.shared.doorbell.bells).ok_or_else(|| {
            let text =
                "all 63 bells of this plugin, or of its group, are taken by callers that sleep; nothing was sent";
            Error::new(Code::Overloaded, text)
        })?;
        let bell = Arc::new(bell);
        let (shared, its) = (self.shared.clone(), bell.clone());
        *thread = Some(spawn("callgate-replies", move || shared.run(&its))?);
        self.shared.state.lock().bell = Some(bell.clone());
        Ok(bell)
    }

    /// A plugin sends no more. The last one has the thread tell of all calls that they were given up, and
    /// end.
    fn leave(&self) {
        let bell = {
            let mut state = self.shared.state.lock();
            state.plugins -= 1;
            if state.plugins > 0 {
                return;
            }
            state.is_closing = true;
            state.bell.clone()
        };
        if let Some(bell) = bell {
            bell.ring();
        }
        // Not while it is locked: the thread may be in a waker that sends another call.
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            join(thread);
        }
    }
}

impl Drop for SentCalls {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // In a forked child there is no thread, and what its handle names may be somebody else's.
            std::mem::forget(self.thread.get_mut().take());
        }
    }
}

impl Shared {
    /// The thread that looks after calls.
    fn run(&self, bell: &KeptBell) {
        loop {
            // Before the look, so that nothing that comes after it is slept through.
            let seen = bell.value();
            let space = self.doorbell.bell.value();
            let (outcomes, until, waits, is_over) = {
                let mut state = self.state.lock();
                let outcomes = state.look(bell);
                let until = state.deadlines.first().map_or(u64::MAX, |(at, _)| *at);
                let is_over = state.is_closing && state.calls.is_empty();
                (outcomes, until, state.waits(), is_over)
            };
            let found = !outcomes.is_empty();
            tell(outcomes);
            futex_refused::log();
            if is_over {
                return;
            }
            match (found, waits) {
                (true, _) => {}
                (false, false) => futex::wait_any(&[bell.word(seen)], until),
                // Space that comes free rings the plugin's own bell.
                (false, true) => {
                    let words = [bell.word(seen), self.doorbell.bell.word_seen(space)];
                    futex::wait_any(&words, until);
                }
            }
        }
    }
}

/// Puts outcomes where they belong, and then wakes tasks: one of these may wait for another one.
fn tell(outcomes: Outcomes) {
    let wakers: Vec<_> = outcomes
        .into_iter()
        .filter_map(|(completion, outcome)| completion.complete(outcome))
        .collect();
    wakers.into_iter().for_each(wake);
}

impl State {
    fn of_link(&mut self, link: &Arc<Link>) -> &mut LinkCalls {
        let known = self.links.iter().position(|calls| calls.is_of(link));
        let place = known.unwrap_or_else(|| {
            self.links.push(LinkCalls::new(link.clone()));
            self.links.len() - 1
        });
        &mut self.links[place]
    }

    /// The slot that a call was sent in, if it was, and whether nothing keeps it from being over.
    fn sent_in(&mut self, number: u64) -> Option<(Ticket, bool)> {
        let link = self.calls.get(&number)?.clone();
        self.of_link(&link).sent_in(number)
    }

    /// Forgets a call, whose slot comes back with its late answer.
    fn forget(&mut self, number: u64) -> Option<Arc<Completion>> {
        let link = self.calls.remove(&number)?;
        let (deadline, completion) = self.of_link(&link).take(number)?;
        self.deadlines.remove(&(deadline, number));
        Some(completion)
    }

    /// Takes the answers that are there, and whatever else has ended calls; sends what can be sent.
    fn look(&mut self, bell: &KeptBell) -> Outcomes {
        let mut ended = Vec::new();
        for calls in &mut self.links {
            calls.take_answers(&mut ended);
            calls.send_waiting(bell, &mut ended);
        }
        let mut outcomes = Outcomes::new();
        for one in ended {
            let Ended {
                number,
                deadline,
                completion,
                outcome,
            } = one;
            self.calls.remove(&number);
            self.deadlines.remove(&(deadline, number));
            outcomes.push((completion, outcome));
        }
        self.end_late(&mut outcomes);
        self.forget_idle();
        outcomes
    }

    /// Ends calls whose time is up, and all where the plugin closes.
    fn end_late(&mut self, outcomes: &mut Outcomes) {
        let now = clock::now();
        while let Some(&(deadline, number)) = self.deadlines.first()
            && (deadline <= now || self.is_closing)
        {
            self.deadlines.pop_first();
            outcomes.extend(self.end(number));
        }
    }

    /// Ends a call whose time is up.
    fn end(&mut self, number: u64) -> Option<(Arc<Completion>, Result<Bytes>)> {
        let link = self.calls.get(&number)?.clone();
        let error = self.of_link(&link).why_late(number);
        Some((self.forget(number)?, Err(error)))
    }

    fn forget_idle(&mut self) {
        self.links.retain(|calls| !calls.is_idle());
    }

    /// Whether any call waits for a slot.
    fn waits(&self) -> bool {
        self.links.iter().any(LinkCalls::waits)
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "this plugin has closed")
}
