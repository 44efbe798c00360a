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

mod again;
mod asking;
mod completion;
mod links;
mod sharing;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use callgate_layout::bells::KeptBell;
use callgate_layout::envelope::CallKind;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::futex;
use callgate_layout::{Code, clock};
use parking_lot::Mutex;

use super::space::check_here;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::base::thread::{discard, join, spawn, wake};
use crate::link::Link;
use crate::link::own_memory::{OwnDoorbell, OwnMemory};

pub(crate) use asking::Standing;
use asking::{Asking, Refused};
pub(crate) use completion::{Completion, Lost, Outcome};
pub(crate) use sharing::Sender;
use state::{Outcomes, State, closed};

/// How long it takes at most, on a machine that is busy, to put an outcome where it belongs.
const SOON: Duration = Duration::from_millis(50);

/// A call to be sent.
pub(crate) struct Outbound {
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) bytes: Box<[u8]>,
    /// Asked about the call where that is absent or refuses it; `None` once it was.
    pub(crate) gate: Option<Weak<dyn Standing>>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("index", &self.index)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
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
    /// There is one as long as the thread runs.
    bell: OnceLock<Arc<KeptBell>>,
    /// Whether any call waits for an answer of the broker's.
    asks: AtomicBool,
    state: Mutex<State>,
}

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
                bell: OnceLock::new(),
                asks: AtomicBool::new(false),
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
        let number = state.next_number()?;
        let deadline = call.deadline;
        let is_next = state
            .deadlines
            .first()
            .is_none_or(|(first, _)| deadline < *first);
        let sent = state.of_link(link).send(&bell, (number, call), completion);
        let waits_first = match sent {
            Ok(waits_first) => waits_first,
            Err(refused) => {
                // A link that has ended is not to be kept for a call that could not be sent.
                state.forget_idle();
                drop(state);
                return self.send_when_told(refused);
            }
        };
        state.calls.insert(number, link.clone());
        state.deadlines.insert((deadline, number));
        drop(state);
        // The thread sleeps until a later time, or does not know that a call of this gate waits.
        if is_next || waits_first {
            bell.ring();
        }
        Ok(number)
    }

    /// Has a call that found no way to its gate wait for what the broker says of that, and sends it then.
    /// Does not wait for that itself.
    pub(crate) fn send_absent(
        &self,
        call: Outbound,
        completion: Arc<Completion>,
        error: Error,
    ) -> Result<u64> {
        self.send_when_told(Refused {
            call,
            completion,
            error,
        })
    }

    fn send_when_told(&self, refused: Refused) -> Result<u64> {
        let bell = self.start()?;
        let mut state = self.shared.state.lock();
        let number = state.next_number()?;
        let asking = Asking::new(refused);
        state.deadlines.insert((asking.deadline(), number));
        state.asking.insert(number, asking);
        drop(state);
        bell.ring();
        Ok(number)
    }

    /// The broker has answered a question about a gate, or will answer none any more.
    pub(crate) fn look_again(&self) {
        if self.shared.asks.load(Ordering::Relaxed)
            && let Some(bell) = self.shared.bell.get()
        {
            bell.ring();
        }
    }

    /// Waits for a call's outcome, until its deadline: also where a waker of the program's keeps the thread
    /// that looks after calls.
    pub(crate) fn wait(&self, number: u64, deadline: u64, call: &Completion) -> Outcome {
        let left = Duration::from_nanos(deadline.saturating_sub(clock::now()));
        let mut until = Instant::now() + left;
        loop {
            if let Some(outcome) = call.wait(until) {
                return outcome;
            }
            if let Some((_, outcome)) = self.shared.state.lock().end(number) {
                return outcome;
            }
            // The thread has the outcome, and puts it there before it wakes anybody.
            until += SOON;
        }
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
            if self.shared.state.lock().is_closing {
                return Err(closed());
            }
            if let Some(bell) = self.shared.bell.get() {
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
        // Nobody else does so while the thread's handle is locked.
        let _ = self.shared.bell.set(bell.clone());
        Ok(bell)
    }

    /// A plugin sends no more. The last one has the thread tell of all calls that they were given up, and
    /// end.
    fn leave(&self) {
        {
            let mut state = self.shared.state.lock();
            state.plugins -= 1;
            if state.plugins > 0 {
                return;
            }
            state.is_closing = true;
        }
        if let Some(bell) = self.shared.bell.get() {
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
            let mut outcomes = {
                let mut state = self.state.lock();
                let outcomes = state.look(bell);
                // Before anything is asked, so that the answer is told.
                self.asks.store(!state.asking.is_empty(), Ordering::Relaxed);
                outcomes
            };
            if self.asks.load(Ordering::Relaxed) {
                self.look_at_asking(bell, &mut outcomes);
            }
            let (until, waits, is_over) = {
                let state = self.state.lock();
                let until = state.deadlines.first().map_or(u64::MAX, |(at, _)| *at);
                let is_over = state.is_closing && state.is_idle();
                (until, state.waits(), is_over)
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
