//! A feed: one subscription on one source. It takes the source's events in order, each once, whichever ring they
//! are in.
//!
//! Each broker that sets the feed up gives it a place in a ring of that broker. A feed drains the oldest ring
//! first, and skips in the next one the events that it has already taken. It drops the older ring once it has taken
//! every event before the one with which its place in the newer ring begins.
//!
//! A thread that takes from a feed holds its lock while handlers run. Other threads do not wait for that lock:
//! the control thread leaves what it brings in a box (`incoming`), and notes ends of sources beside the places
//! (`place::End`).
//!
//! **Missed.** A thread that finds the lock taken, and is about to sleep, sets `missed` and tries the lock once
//! more. The holder swaps `missed` after it has released the lock, and wakes the sleeper if it was set. Both change
//! the same word, so at least one of them sees the other.

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

/// One subscription on one source.
pub(crate) struct Feed {
    /// The source's topic and plugin.
    about: Arc<Sending>,
    /// The source's random number, the same at every broker. `None` for a source that cannot be heard: such a feed
    /// only delivers a notice of that.
    incarnation: Option<u64>,
    handlers: Arc<Handlers>,
    wakes: Arc<dyn Wakes>,
    taking: Mutex<Taking>,
    incoming: Mutex<Vec<Incoming>>,
    has_incoming: AtomicBool,
    /// Places in rings of memberships up to this number are dropped at the next look.
    cut: AtomicU64,
    /// The number of threads that wait for the lock.
    wanted: AtomicU32,
    /// Whether a thread has found the lock taken, and may sleep.
    missed: AtomicBool,
    /// The thread that runs handlers of this feed, and the chain in which it does; 0 for none.
    runner: AtomicU64,
    chain: AtomicU64,
    /// The number of the feed's next event, once the feed is over.
    reached: OnceLock<u64>,
    is_over: AtomicBool,
    log: Log,
}

/// What the control thread leaves for the thread that takes.
pub(crate) enum Incoming {
    Place(Box<Place>),
    Notice(EventNotice),
}

/// Runs handlers, with what that needs: a turn, chains.
pub(crate) trait Runner {
    /// Calls `work` for one event after the other, each time with the name of a new chain, in which it runs the
    /// event's handlers. Stops when `work` returns `false`, or when others have waited long enough for the turn.
    fn run(&mut self, work: impl FnMut(u64) -> bool);
}

/// The outcome of [`Feed::take`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The number of events and notices that were taken.
    pub(crate) events: u32,
    /// Whether there are more.
    pub(crate) is_more: bool,
}

/// An event or a notice, for programs that take them one by one.
pub(crate) enum Next<'a> {
    Event(&'a EventContext<'a>, Encoding, &'a [u8]),
    Notice(EventNotice),
}

impl Feed {
    /// A feed on a source. `next` is the number of the next event, if the subscription has heard this source
    /// before.
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

    /// Leaves something for the next look. Returns it if the feed is over.
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

    /// Has the next look drop the places in rings of memberships up to this number: events that were not taken
    /// there are lost.
    pub(crate) fn cut(&self, membership: u64) {
        self.cut.fetch_max(membership, Ordering::Release);
        self.has_incoming.store(true, Ordering::Release);
        self.wakes.wake();
    }

    /// Ends the feed: a thread that takes from it stops after the event that it is handling.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Drops what the feed reads. If a thread is taking from it, that is dropped with the feed.
    pub(crate) fn let_go(&self) {
        let brought = std::mem::take(&mut *self.incoming.lock());
        let places = self.taking.try_lock().map(|mut taking| taking.let_go());
        drop((brought, places));
    }

    /// Whether the feed is over, so that nothing will be taken from it.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // An acquire, so that `reached` can be read afterwards.
        self.is_over.load(Ordering::Acquire)
    }

    /// Whether there is something to take and no thread takes it.
    pub(crate) fn has_next(&self) -> bool {
        self.hold().is_some_and(|mut held| held.has_next())
    }

    /// As [`Feed::has_next`], for a thread that looks again and again before it sleeps: some looks are left out
    /// while events follow each other closely (see [`Pace`]).
    pub(crate) fn has_next_by_and_by(&self) -> bool {
        self.hold()
            .is_some_and(|mut held| !self.is_over() && held.taking.has_next_by_and_by(self))
    }

    /// For a thread that is about to sleep: asks the source to wake it when there is an event. If another thread is
    /// taking from the feed, that one wakes it when it stops.
    pub(crate) fn arm(&self) {
        if let Some(held) = self.hold_or_miss() {
            held.taking.arm();
        }
    }

    /// Whether there is something to take, for a thread that is about to sleep and has armed the feed.
    pub(crate) fn has_next_armed(&self) -> bool {
        self.hold_or_miss().is_some_and(|mut held| held.has_next())
    }

    /// Takes up to `most` events and runs their handlers.
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

    /// Takes one event or notice and runs its handlers.
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

    /// Takes up to `most` events and notices on a thread of the program, until `with` breaks. Returns their number.
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

    /// Names the waiter that the sources shall wake; `false` if none could be named.
    pub(crate) fn announce(&self, waiter: &mut WaiterOf<'_>) -> bool {
        self.taking.lock().announce(waiter)
    }

    /// Takes that back: no thread sleeps any more.
    pub(crate) fn take_back(&self) {
        self.taking.lock().take_back();
    }

    /// The number of the event after the last one that was handled; `None` while the feed is not over.
    pub(crate) fn reached(&self) -> Option<u64> {
        self.reached.get().copied()
    }

    /// Waits until every handler that is running now has returned. Must not be called inside such a handler.
    pub(crate) fn await_idle(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let missed = Missed(self);
        let mut taking = self.taking.lock();
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        // The copy may hold the last reference to a handler.
        let old = taking.forget_handlers();
        drop(taking);
        drop(missed);
        discard(old);
    }

    /// Whether this thread runs a handler of this feed, or belongs to the chain of one.
    pub(crate) fn is_here(&self) -> bool {
        let chain = chain::current().map_or(0, |chain| chain.id);
        let its = self.chain.load(Ordering::Relaxed);
        self.runner.load(Ordering::Relaxed) == chain::thread_number() || its != 0 && its == chain
    }

    /// Takes the lock; `None` if another thread holds it.
    fn hold(&self) -> Option<Held<'_>> {
        let taking = self.taking.try_lock()?;
        Some(Held {
            taking,
            feed: self,
            _missed: Missed(self),
        })
    }

    /// Takes the lock. If another thread holds it, that thread wakes the caller, who may then sleep.
    fn hold_or_miss(&self) -> Option<Held<'_>> {
        self.hold().or_else(|| {
            // Pairs with the swap in `Missed::drop` of the lock's holder.
            self.missed.swap(true, Ordering::AcqRel);
            self.hold()
        })
    }
}

/// The lock of a feed, held by this thread. The fields are dropped in this order: the lock first.
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

/// When this is dropped, wakes threads that have found the lock taken.
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
