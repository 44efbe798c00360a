//! One subscription on one source: takes its events in order, each once, wherever they lie.
//!
//! A feed has a place in a ring of each broker that has set it up. It drains the older ones first, skips in the newer one
//! what it has had, and drops an older one when the newer has started and the older is drained up to that start.
//!
//! Whoever takes from a feed has it alone; handlers run meanwhile. So nobody else waits for that but who has to: the control
//! thread leaves what it brings in a box (`incoming`), and ends of sources beside the places (`place::End`).
//!
//! **Missed.** A thread that finds the feed taken, and is about to sleep, says so and tries once more; who is done looks
//! whether somebody did, and has the sleeper woken. Both change the same word, so at least one sees the other.

mod pace;
mod place;
mod taking;
#[cfg(test)]
mod tests;
mod wakes;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use callgate_layout::Encoding;
use parking_lot::{Mutex, MutexGuard};

use super::handlers::{EventContext, Sending};
use super::notice::{EventNotice, Log};
use super::registered::Handlers;
use crate::base::buffers::Scratch;
use crate::base::chain;
use crate::base::thread::discard;

pub(crate) use pace::Pace;
pub(crate) use place::{End, Place, PlaceParts, Sender};
use taking::{Found, Taking};
pub(crate) use wakes::{Sleeps, WaiterOf, Wakes};

/// A feed.
pub(crate) struct Feed {
    /// Who sends on which topic.
    about: Arc<Sending>,
    /// Drawn by the source; the same across brokers. `None` of a source that cannot be heard: then this only tells of that.
    incarnation: Option<u64>,
    handlers: Arc<Handlers>,
    wakes: Arc<dyn Wakes>,
    taking: Mutex<Taking>,
    incoming: Mutex<Vec<Incoming>>,
    has_incoming: AtomicBool,
    /// Places of memberships up to this number are dropped.
    cut: AtomicU64,
    /// How many threads wait for whoever takes from it.
    wanted: AtomicU32,
    /// Whether a thread has found it taken, and may sleep.
    missed: AtomicBool,
    /// The thread that takes from it, and the chain in which it runs handlers; 0 for none.
    runner: AtomicU64,
    chain: AtomicU64,
    /// The number of its next event, when there is nothing to take any more.
    reached: OnceLock<u64>,
    is_over: AtomicBool,
    log: Log,
}

/// What the control thread brings.
pub(crate) enum Incoming {
    Place(Box<Place>),
    Notice(EventNotice),
}

/// Where handlers run.
pub(crate) trait Runner {
    /// Runs the handlers of events, of each in a chain of its own, which `work` is told; as long as that wants to go on, it is their
    /// turn, and others have not waited long enough.
    fn run(&mut self, work: impl FnMut(u64) -> bool);
}

/// What came of taking from a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Events and notices.
    pub(crate) events: u32,
    /// Whether there is another one.
    pub(crate) is_more: bool,
}

/// An event or a notice, for whoever takes them one by one.
pub(crate) enum Next<'a> {
    Event(&'a EventContext<'a>, Encoding, &'a [u8]),
    Notice(EventNotice),
}

impl Feed {
    /// One on a source, whose next event has this number, if any was had before.
    pub(crate) fn new(
        (about, incarnation): (Arc<Sending>, Option<u64>),
        (handlers, wakes): (Arc<Handlers>, Arc<dyn Wakes>),
        next: Option<u64>,
    ) -> Feed {
        Feed {
            about,
            incarnation,
            handlers,
            wakes,
            taking: Mutex::new(Taking::new(next)),
            incoming: Mutex::default(),
            has_incoming: AtomicBool::new(false),
            cut: AtomicU64::new(0),
            wanted: AtomicU32::new(0),
            missed: AtomicBool::new(false),
            runner: AtomicU64::new(0),
            chain: AtomicU64::new(0),
            reached: OnceLock::new(),
            is_over: AtomicBool::new(false),
            log: Log::default(),
        }
    }

    pub(crate) fn about(&self) -> &Arc<Sending> {
        &self.about
    }

    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// Has it taken in at the next look; gives it back where the feed is over.
    pub(crate) fn bring(&self, what: Incoming) -> Option<Incoming> {
        let mut incoming = self.incoming.lock();
        if self.is_over() {
            return Some(what);
        }
        incoming.push(what);
        self.has_incoming.store(true, Ordering::Release);
        drop(incoming);
        self.wakes.wake();
        None
    }

    /// Drops the places in rings of memberships up to this number at the next look: what is left there is lost.
    pub(crate) fn cut(&self, membership: u64) {
        self.cut.fetch_max(membership, Ordering::Release);
        self.has_incoming.store(true, Ordering::Release);
        self.wakes.wake();
    }

    /// Takes no more: whoever takes from it stops after the event that it handles.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Lets go of what it reads, unless somebody is taking from it: then that is let go when the feed is dropped.
    pub(crate) fn let_go(&self) {
        let brought = std::mem::take(&mut *self.incoming.lock());
        let places = self.taking.try_lock().map(|mut taking| taking.let_go());
        drop((brought, places));
    }

    /// Whether there is nothing to take any more.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // What it has reached is known then.
        self.is_over.load(Ordering::Acquire)
    }

    /// Whether there is anything to take, and nobody takes it.
    pub(crate) fn has_next(&self) -> bool {
        self.hold().is_some_and(|mut held| held.has_next())
    }

    /// The same for a thread that looks again and again, before it sleeps: not each time where events follow each other.
    pub(crate) fn has_next_by_and_by(&self) -> bool {
        self.hold()
            .is_some_and(|mut held| !self.is_over() && held.taking.has_next_by_and_by(self))
    }

    /// The same for a thread that is about to sleep: has its source ring whoever sleeps when there is something. Where
    /// another thread takes, that one does so if it leaves anything.
    pub(crate) fn arm(&self) {
        if let Some(held) = self.hold_or_miss() {
            held.taking.arm();
        }
    }

    /// Whether there is anything to take, for a thread that is about to sleep.
    pub(crate) fn has_next_armed(&self) -> bool {
        self.hold_or_miss().is_some_and(|mut held| held.has_next())
    }

    /// Takes up to so many events and runs their handlers.
    pub(crate) fn take(&self, most: u32, runner: &mut impl Runner) -> Taken {
        let Some(mut held) = self.hold_or_miss() else {
            return Taken::default();
        };
        self.runner.store(chain::thread_number(), Ordering::Relaxed);
        let mut memory = Scratch::take();
        held.taking.begin(std::mem::take(&mut memory));
        let (mut events, mut is_more) = (0, held.has_next());
        if is_more {
            runner.run(|chain| {
                self.handle(&mut held.taking, chain);
                events += 1;
                is_more = held.has_next();
                let is_waited_for = self.wanted.load(Ordering::Relaxed) != 0;
                is_more && events < most && !is_waited_for && !held.taking.is_short()
            });
        }
        held.taking.took(is_more);
        self.runner.store(0, Ordering::Relaxed);
        *memory = held.taking.leave();
        Taken { events, is_more }
    }

    /// Handles one event or notice.
    #[inline]
    fn handle(&self, taking: &mut Taking, chain: u64) {
        self.chain.store(chain, Ordering::Relaxed);
        if let Some(old) = taking.refresh(&self.handlers) {
            discard(old);
        }
        match taking.next(self) {
            Found::Nothing => {}
            Found::Event => {
                if let Some((context, encoding)) = taking.event(self) {
                    let handlers = taking.handlers();
                    handlers.run(&context, encoding, taking.bytes());
                }
                taking.handled();
            }
            Found::Notice => self.tell(taking),
        }
        self.chain.store(0, Ordering::Relaxed);
    }

    #[cold]
    fn tell(&self, taking: &mut Taking) {
        if let Some(notice) = taking.notice()
            && !taking.handlers().tell(&notice)
        {
            self.log.write(&notice);
        }
    }

    /// Takes up to so many events and notices, on a thread of the program's own, as long as it is to go on; returns how many.
    pub(crate) fn take_some(
        &self,
        most: usize,
        mut with: impl FnMut(Next<'_>) -> ControlFlow<()>,
    ) -> usize {
        let Some(mut held) = self.hold() else {
            return 0;
        };
        let mut memory = Scratch::take();
        held.taking.begin(std::mem::take(&mut memory));
        let mut taken = 0;
        while taken < most && held.has_next() {
            let taking = &mut *held.taking;
            let goes_on = match taking.next(self) {
                Found::Nothing => break,
                Found::Event => {
                    let Some((context, encoding)) = taking.event(self) else {
                        break;
                    };
                    let goes_on = with(Next::Event(&context, encoding, taking.bytes()));
                    taking.handled();
                    goes_on
                }
                Found::Notice => match taking.notice() {
                    Some(notice) => with(Next::Notice(notice)),
                    None => break,
                },
            };
            taken += 1;
            if goes_on.is_break() {
                break;
            }
        }
        *memory = held.taking.leave();
        taken
    }

    /// Has its source wake a thread that sleeps; false where that cannot be woken.
    pub(crate) fn announce(&self, waiter: &mut WaiterOf<'_>) -> bool {
        self.taking.lock().announce(waiter)
    }

    /// Says that none does.
    pub(crate) fn take_back(&self) {
        self.taking.lock().take_back();
    }

    /// The number of the event after the last that was handled, of a feed that has nothing to take any more.
    pub(crate) fn reached(&self) -> Option<u64> {
        self.reached.get().copied()
    }

    /// Waits until no handler runs that began before this. Not to be called by who runs one.
    pub(crate) fn await_idle(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let missed = Missed(self);
        let mut taking = self.taking.lock();
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        // It may be the last to have a handler.
        let old = taking.forget_handlers();
        drop(taking);
        drop(missed);
        discard(old);
    }

    /// Whether this thread runs a handler of this feed, or is in the chain of one.
    pub(crate) fn is_here(&self) -> bool {
        let chain = chain::current().map_or(0, |chain| chain.id);
        let its = self.chain.load(Ordering::Relaxed);
        self.runner.load(Ordering::Relaxed) == chain::thread_number() || its != 0 && its == chain
    }

    /// The feed, where nobody else has it.
    fn hold(&self) -> Option<Held<'_>> {
        let taking = self.taking.try_lock()?;
        Some(Held {
            taking,
            feed: self,
            _missed: Missed(self),
        })
    }

    /// The same; where somebody has it, that one tells whoever may sleep.
    fn hold_or_miss(&self) -> Option<Held<'_>> {
        self.hold().or_else(|| {
            // Pairs with the swap of who has it.
            self.missed.swap(true, Ordering::AcqRel);
            self.hold()
        })
    }
}

/// A feed that this thread has alone. Fields are dropped in their order: first the lock.
struct Held<'a> {
    taking: MutexGuard<'a, Taking>,
    feed: &'a Feed,
    _missed: Missed<'a>,
}

impl Held<'_> {
    #[inline]
    fn has_next(&mut self) -> bool {
        !self.feed.is_over() && self.taking.has_next(self.feed)
    }
}

/// Has whoever missed the feed woken when this is dropped.
struct Missed<'a>(&'a Feed);

impl Drop for Missed<'_> {
    fn drop(&mut self) {
        if self.0.missed.swap(false, Ordering::AcqRel) {
            self.0.wakes.wake();
        }
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
