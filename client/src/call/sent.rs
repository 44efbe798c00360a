//! Calls that are sent, and not waited for on a thread. Each has a completion, from which a future or a thread gets
//! the outcome.
//!
//! One thread looks after all of them. It sleeps on a bell that each such call names before it is published, takes
//! the answers that have come, sends calls that waited for a slot, and reports deadlines and links that have ended.
//! Calls without a slot wait in private memory, by link and gate, in the order in which they came.
//!
//! Wakers are code of the program: they may send, wait for other calls, drop their plugin, panic, or take long. So
//! they are called when no lock is held and when all outcomes of that look are in their completions; and a thread
//! that waits for a call ends it at its deadline by itself.

mod again;
mod asking;
mod completion;
mod feeds;
mod lead;
mod leading;
mod links;
mod outcome;
mod pages;
mod queue;
mod sending;
mod sharing;
mod state;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::JoinHandle;

use callgate_layout::envelope::CallKind;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::futex;
use callgate_layout::{Code, Encoding};
use parking_lot::Mutex;

use super::space::check_here;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::base::thread::{discard, join, spawn, wake};
use crate::events::pulled::Puller;
use crate::link::Link;
use crate::link::own_memory::SentBell;

use asking::{Asking, Refused};
pub(crate) use asking::{Asks, Standing};
pub(crate) use completion::{Completion, Lost, Outcome};
use lead::Left;
pub(crate) use leading::Follower;
pub(crate) use outcome::Awaited;
use pages::{Pages, Sleep};
pub(crate) use sharing::Sender;
use state::{Outcomes, State, closed};

/// A call to be sent.
pub(crate) struct Outbound {
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// The encoding of `bytes`.
    pub(crate) encoding: Encoding,
    /// In nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) bytes: Box<[u8]>,
    /// Asked if the gate is absent or refuses the call; `None` once it was asked.
    pub(crate) gate: Option<Weak<dyn Asks>>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("index", &self.index)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The calls under way for which no thread waits: those of one plugin, or of all plugins that share a doorbell.
#[derive(Debug)]
pub(crate) struct SentCalls {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether the thread runs. Stored under the lock above.
    is_started: AtomicBool,
    fork: ForkMark,
}

#[derive(Debug)]
struct Shared {
    /// The doorbell pages of links through which calls were sent, each with its bell for such calls. There is one,
    /// and for a while a second one after the plugin has come back to a new broker.
    pages: Mutex<Vec<Weak<SentBell>>>,
    /// Counts changes of the pages. The thread sleeps on it in place of a bell if there is no page, or besides the
    /// bells if there are several.
    changes: AtomicU32,
    /// Whether any call waits for an answer of the broker's.
    asks: AtomicBool,
    /// Tasks that wait for events; and whether there are any.
    pulled: Mutex<Vec<Weak<Puller>>>,
    has_pulled: AtomicBool,
    /// Tasks whose calls other threads have found over.
    wakers: Mutex<Vec<Waker>>,
    state: Mutex<State>,
}

impl SentCalls {
    /// The calls of one plugin.
    fn new() -> SentCalls {
        let state = State {
            plugins: 1,
            ..State::default()
        };
        SentCalls {
            shared: Arc::new(Shared {
                pages: Mutex::default(),
                changes: AtomicU32::new(0),
                asks: AtomicBool::new(false),
                pulled: Mutex::default(),
                has_pulled: AtomicBool::new(false),
                wakers: Mutex::default(),
                state: Mutex::new(state),
            }),
            thread: Mutex::new(None),
            is_started: AtomicBool::new(false),
            fork: ForkMark::here(),
        }
    }

    /// Sends a call, now or as soon as there is a slot. Its outcome is put into the completion.
    pub(crate) fn send(
        &self,
        link: &Arc<Link>,
        call: Outbound,
        completion: Arc<Completion>,
    ) -> Result<u64> {
        check_here(link)?;
        self.start()?;
        let mut state = self.shared.state.lock();
        if !state.has_link(link) {
            drop(state);
            self.shared.attend(link)?;
            state = self.shared.state.lock();
        }
        let number = state.next_number()?;
        let deadline = call.deadline;
        let is_next = state.is_next(deadline);
        let sent = state.of_link(link).send((number, call), completion);
        let waits_first = match sent {
            Ok(waits_first) => waits_first,
            Err(refused) => {
                // A link that has ended must not be kept because of a call that could not be sent.
                state.forget_idle();
                drop(state);
                return self.send_when_told(refused);
            }
        };
        state.note(deadline);
        // The thread would sleep too long, or does not know yet that a call of this gate waits.
        let needs_look = (is_next || waits_first) && !state.is_left_for(deadline);
        let outcomes = state.look_for_sender(link.sent_bell());
        let needs_thread = !state.asking.is_empty() && state.take_back_bell();
        // A leader may have lost its call to this look, or does not know yet that a call waits for a slot.
        let tells_leader = (waits_first || !outcomes.is_empty()) && state.has_leader();
        drop(state);
        let wakes = self.shared.put(outcomes);
        if tells_leader {
            self.shared.ring_pages();
        }
        if needs_look || needs_thread || wakes {
            self.shared.ring();
        }
        Ok(number)
    }

    /// Takes a call that found no way to its gate: asks the broker, and sends the call if there is a way then. Does
    /// not wait for the broker.
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
        self.start()?;
        let mut state = self.shared.state.lock();
        let number = state.next_number()?;
        let asking = Asking::new(refused);
        state.note(asking.deadline());
        state.asking.insert(number, asking);
        drop(state);
        self.shared.ring();
        Ok(number)
    }

    /// Called when the broker has answered a question about a gate, or will answer none any more.
    pub(crate) fn look_again(&self) {
        if self.shared.asks.load(Ordering::Relaxed) {
            self.shared.ring();
        }
    }

    /// Called when a page may have no links any more.
    pub(crate) fn let_go_of_pages(&self) {
        self.shared.ring();
    }

    /// Gives a call up: its outcome is dropped. Calls that wait for a slot get this call's slot, now or when the
    /// late answer comes.
    pub(crate) fn give_up(&self, number: u64) {
        let forgotten = self.shared.state.lock().forget(number);
        // Its waker belongs to the program.
        discard(forgotten);
    }

    /// Starts the thread, if it does not run yet.
    fn start(&self) -> Result<()> {
        if self.is_started.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut thread = self.thread.lock();
        if self.shared.state.lock().is_closing {
            return Err(closed());
        }
        if thread.is_none() {
            let shared = self.shared.clone();
            *thread = Some(spawn("callgate-replies", move || shared.run())?);
        }
        self.is_started.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends a plugin's part in this. When the last plugin leaves, the thread reports all calls as given up, and
    /// ends.
    fn leave(&self) {
        {
            let mut state = self.shared.state.lock();
            state.plugins -= 1;
            if state.plugins > 0 {
                return;
            }
            state.is_closing = true;
        }
        self.shared.ring();
        // Not under the lock: the thread may be in a waker that sends another call.
        let thread = {
            let mut thread = self.thread.lock();
            self.is_started.store(false, Ordering::Relaxed);
            thread.take()
        };
        if let Some(thread) = thread {
            join(thread);
        }
    }
}

impl Drop for SentCalls {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // In a forked child the thread does not exist, and its handle may name somebody else's.
            std::mem::forget(self.thread.get_mut().take());
        }
    }
}

impl Shared {
    /// Has the thread sleep on the bell for calls that are sent through a link.
    fn attend(&self, link: &Link) -> Result<()> {
        let page = link.sent_bell();
        let bell = page.take().ok_or_else(|| {
            let text =
                "all 63 bells of this plugin, or of its group, are taken by callers that sleep; nothing was sent";
            Error::new(Code::Overloaded, text)
        })?;
        link.set_late_bell(bell.number());
        if self.add_page(page) {
            self.ring();
        }
        Ok(())
    }

    /// Adds a page whose bell the thread sleeps on. Returns whether it is new.
    fn add_page(&self, page: &Arc<SentBell>) -> bool {
        let mut pages = self.pages.lock();
        let mut known = pages.iter();
        let is_new = !known.any(|known| known.as_ptr() == Arc::as_ptr(page));
        if is_new {
            pages.push(Arc::downgrade(page));
        }
        is_new
    }

    /// Wakes the thread, whichever word it sleeps on, and a thread that leads.
    fn ring(&self) {
        self.wake_thread();
        self.ring_pages();
    }

    /// Wakes the thread if it has left the bells to others.
    fn wake_thread(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.changes);
    }

    /// Wakes the threads that sleep on the bells.
    fn ring_pages(&self) {
        for page in self.pages().iter().filter_map(|page| page.taken()) {
            page.ring();
        }
    }

    /// The pages that are still in use.
    fn pages(&self) -> Vec<Arc<SentBell>> {
        let mut pages = self.pages.lock();
        pages.retain(|page| page.strong_count() > 0);
        pages.iter().filter_map(Weak::upgrade).collect()
    }

    /// The body of the thread.
    fn run(&self) {
        let mut pages = Pages::default();
        while self.look(&mut pages) {}
    }

    /// Looks at all calls, and then sleeps until something happens. Returns `false` once the plugin has closed.
    fn look(&self, pages: &mut Pages) -> bool {
        // Read before the look, so that changes after it end the sleep.
        let changes = self.changes.load(Ordering::Acquire);
        pages.note(changes, || self.pages());
        let mut found = {
            let mut state = self.state.lock();
            let outcomes = state.look();
            // Stored before anything is asked, so that the answer wakes the thread.
            self.asks.store(!state.asking.is_empty(), Ordering::Relaxed);
            drop(state);
            // Before anything is asked: that may take a moment, or drop values of the program's.
            self.hand_over(outcomes)
        };
        if self.asks.load(Ordering::Relaxed) {
            let mut outcomes = Outcomes::new();
            found |= self.look_at_asking(&mut outcomes);
            found |= self.hand_over(outcomes);
        }
        self.wake_tasks();
        self.look_at_feeds();
        futex_refused::log();
        let (until, sleep, is_over) = {
            let mut state = self.state.lock();
            let until = state.next_deadline();
            let is_over = state.is_closing && state.is_idle();
            let is_needed = self.has_pulled.load(Ordering::Relaxed) || pages.are_several();
            let sleep = match state.leave_bell(is_needed) {
                Left::ForAPeriod => Sleep::ForAPeriod,
                Left::WhileLed => Sleep::WithoutBells,
                Left::Not if state.waits() => Sleep::OnBellsAndSpace,
                Left::Not => Sleep::OnBells,
            };
            (until, sleep, is_over)
        };
        if !is_over && !found {
            pages.sleep(&self.changes, sleep, until);
        }
        !is_over
    }

    /// Puts outcomes into their completions, and has a thread that leads look for its own. Returns whether there are
    /// any.
    fn hand_over(&self, outcomes: Outcomes) -> bool {
        let is_any = !outcomes.is_empty();
        self.put(outcomes);
        if is_any && self.state.lock().has_leader() {
            self.ring_pages();
        }
        is_any
    }

    /// Wakes the tasks whose calls are over: a task may wait for another outcome, so all are handed over.
    fn wake_tasks(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(wake);
    }
}
