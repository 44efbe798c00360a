//! The turn lock: which chain may run a plugin's handlers.
//!
//! Handlers of one dispatcher never run at the same time, and calls between plugins of one process
//! run on their caller's thread: so there is a lock that belongs to a *chain*: what comes back in
//! the chain of a handler that waits may run meanwhile, on whatever thread.
//!
//! A dispatcher's thread keeps the turn lock between two calls, so that a call costs it two plain
//! stores and no locked instruction. It lets go before it sleeps, and offers the turn lock when a
//! caller in this process wants it. The state and the steps of waiting are [`Turns`]; here is how
//! threads sleep.

use std::ops::Deref;

use callgate_layout::clock;
use callgate_layout::sys::futex;
use callgate_layout::turns::{Dispatching, Lent, Turns, Watch};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::base::chain::thread_number;

pub(crate) use callgate_layout::turns::Turn;

/// Looks at a turn that is to come back before sleeping: most are only about to be ended.
const LOOKS: u32 = 100;

/// Who may run handlers.
#[derive(Debug, Default)]
pub(crate) struct TurnLock {
    turns: CachePadded<Turns>,
}

/// A plugin's turn lock. Turn locks live for ever, so that a thread can note those that it has without
/// counting references; when a plugin is gone, the next one gets its turn lock.
#[derive(Debug)]
pub(crate) struct Lease(&'static TurnLock);

static SPARE: Mutex<Vec<&'static TurnLock>> = Mutex::new(Vec::new());

impl Lease {
    pub(crate) fn new() -> Lease {
        let spare = SPARE.lock().pop();
        Lease(spare.unwrap_or_else(|| Box::leak(Box::default())))
    }

    /// The turn lock itself, which outlives its plugin.
    #[inline]
    pub(crate) fn turn_lock(&self) -> &'static TurnLock {
        self.0
    }
}

impl Deref for Lease {
    type Target = TurnLock;

    #[inline]
    fn deref(&self) -> &TurnLock {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.release();
        if self.0.holder().is_none() {
            SPARE.lock().push(self.0);
        }
    }
}

impl TurnLock {
    /// Begins a chain's turn on the dispatcher's thread; `None` while it is not its turn.
    #[inline]
    pub(crate) fn begin(&self, chain: u64) -> Option<Turn> {
        self.turns.begin(chain, thread_number)
    }

    /// Begins a chain's turn on a thread that is no dispatcher's; `None` while it is not its turn.
    #[inline]
    pub(crate) fn visit(&self, chain: u64) -> Option<Turn> {
        self.turns.visit(chain, thread_number())
    }

    /// As [`TurnLock::visit`], waiting until the deadline or until the call is cancelled.
    #[cold]
    pub(crate) fn visit_until(
        &self,
        chain: u64,
        deadline: u64,
        cancel: Option<&CancelToken>,
        backoff: &Backoff,
    ) -> Option<Turn> {
        let is_cancelled = || cancel.is_some_and(CancelToken::is_cancelled);
        let is_over = || is_cancelled() || clock::now() >= deadline;
        let sleep = |seen| {
            let has_changed = || self.turns.seen() != seen || is_cancelled();
            if !backoff.stay_awake(deadline, has_changed) {
                let changes = self.turns.word(seen);
                match cancel {
                    Some(cancel) => futex::wait_any(&[changes, cancel.word()], deadline),
                    None => futex::wait_any(&[changes], deadline),
                }
            }
        };
        let who = (chain, thread_number());
        let (turn, is_awaited) = self.turns.visit_until(who, is_over, sleep);
        self.tell_if(is_awaited);
        turn
    }

    /// Ends a turn.
    #[inline]
    pub(crate) fn end(&self, turn: Turn) {
        self.tell_if(self.turns.end(turn));
    }

    /// Whether a chain's turn could begin on the dispatcher's thread, which is this one.
    pub(crate) fn could_begin(&self, chain: u64) -> bool {
        self.turns.could_begin(chain, thread_number())
    }

    /// This thread is about to wait for an answer, if it is the one that has the chain's turn.
    pub(crate) fn begin_lending(&self, chain: u64) -> Option<Lent> {
        let (lent, is_awaited) = self.turns.begin_lending(chain, thread_number())?;
        self.tell_if(is_awaited);
        Some(lent)
    }

    /// Lends what was taken back once more, because this thread has to wait for another turn lock.
    pub(crate) fn lend(&self, lent: Lent) {
        self.tell_if(self.turns.lend(lent));
    }

    /// Takes back what was lent; false while somebody else has it.
    pub(crate) fn end_lending(&self, lent: Lent) -> bool {
        self.turns.end_lending(lent, thread_number())
    }

    /// Waits until what was lent may have come back.
    #[cold]
    pub(crate) fn await_return(&self, lent: Lent) {
        let is_back = || {
            std::hint::spin_loop();
            self.turns.is_back(lent)
        };
        if (0..LOOKS).any(|_| is_back()) {
            return;
        }
        self.turns.await_return(lent, |seen| {
            futex::wait_any(&[self.turns.word(seen)], u64::MAX);
        });
    }

    /// Whether a caller in this process wants it.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.turns.is_wanted()
    }

    /// Whether a chain has the turn lock.
    pub(crate) fn belongs_to(&self, chain: u64) -> bool {
        self.turns.belongs_to(chain)
    }

    /// The dispatcher lets callers in this process go first, if there are any.
    #[inline]
    pub(crate) fn offer(&self) {
        self.tell_if(self.turns.offer());
    }

    /// The dispatcher lets go, because it has nothing to do.
    pub(crate) fn release(&self) {
        self.tell_if(self.turns.release());
    }

    /// Who has the turn lock; `None` where the dispatcher, which is this thread, could take it.
    pub(crate) fn holder(&self) -> Option<u64> {
        self.turns.holder(thread_number)
    }

    /// Waits on the dispatcher's thread, which this is, while somebody else has it.
    pub(crate) fn await_turn(&self, dispatcher: &mut impl Dispatching) {
        let is_awaited = self.turns.await_turn(thread_number(), dispatcher);
        self.tell_if(is_awaited);
    }

    /// Counts this thread as one that sleeps until there is a change. Afterwards it looks once more.
    pub(crate) fn watch(&self) -> Watch<'_> {
        self.turns.watch()
    }

    #[inline]
    fn tell_if(&self, is_awaited: bool) {
        if is_awaited {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        self.turns.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    use super::*;
    use crate::base::backoff::WaitPolicy;

    const ONE: u64 = 1 << 63 | 1;
    const TWO: u64 = 1 << 63 | 2;

    #[test]
    fn a_chain_comes_back_in_and_another_does_not() {
        let turn_lock = TurnLock::default();
        let outer = turn_lock.visit(ONE).unwrap();
        let inner = turn_lock.begin(ONE).unwrap();
        assert!(turn_lock.visit(TWO).is_none());
        assert!(turn_lock.begin(TWO).is_none());
        turn_lock.end(inner);
        assert!(turn_lock.visit(TWO).is_none());
        turn_lock.end(outer);
        let other = turn_lock.visit(TWO).unwrap();
        turn_lock.end(other);
    }

    /// Who had reserved the next turn got in because its chain lent one, and the reservation stayed: nobody
    /// else had a turn ever again.
    #[test]
    fn a_reservation_ends_with_the_wait() {
        let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Park));
        let outer = turn_lock.visit(ONE).unwrap();
        thread::scope(|scope| {
            let inner = scope.spawn(|| {
                let turn = turn_lock.visit_until(ONE, u64::MAX, None, &backoff);
                turn_lock.end(turn.unwrap());
            });
            while !turn_lock.is_wanted() {
                thread::yield_now();
            }
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(1));
                turn_lock.tell();
            }
            let lent = turn_lock.begin_lending(ONE).unwrap();
            inner.join().unwrap();
            assert!(turn_lock.end_lending(lent));
        });
        turn_lock.end(outer);
        assert_eq!(turn_lock.holder(), None);
        turn_lock.end(turn_lock.visit(TWO).unwrap());
    }

    fn is_asleep(thread: &Path) -> bool {
        let stat = fs::read_to_string(thread.join("stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.starts_with(" S")
    }

    /// Who waits for a turn looked for it again and again, and took a processor.
    #[test]
    fn who_waits_for_a_turn_sleeps() {
        let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Park));
        let turn = turn_lock.visit(ONE).unwrap();
        let (told, telling) = mpsc::channel();
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                told.send(fs::read_link("/proc/thread-self").unwrap())
                    .unwrap();
                let turn = turn_lock.visit_until(TWO, u64::MAX, None, &backoff);
                turn_lock.end(turn.unwrap());
            });
            let thread = Path::new("/proc").join(telling.recv().unwrap());
            let until = Instant::now() + Duration::from_secs(20);
            let mut looks = 0;
            while looks < 5 && Instant::now() < until {
                thread::sleep(Duration::from_millis(2));
                let sleeps = turn_lock.is_wanted() && is_asleep(&thread);
                looks = if sleeps { looks + 1 } else { 0 };
            }
            turn_lock.end(turn);
            waits.join().unwrap();
            assert_eq!(looks, 5, "it is never asleep for long");
        });
    }

    /// Handlers on two threads at once.
    #[test]
    fn turns_exclude_each_other() {
        let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Adaptive));
        let inside = AtomicU32::new(0);
        let visit = |chain: u64| {
            for _ in 0..2_000 {
                let turn = turn_lock
                    .visit(chain)
                    .or_else(|| turn_lock.visit_until(chain, u64::MAX >> 1, None, &backoff));
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                inside.fetch_sub(1, Ordering::SeqCst);
                turn_lock.end(turn.unwrap());
            }
        };
        thread::scope(|scope| {
            for thread in 1..4 {
                let visit = &visit;
                scope.spawn(move || visit(1 << 63 | thread));
            }
        });
        assert_eq!(turn_lock.holder(), None);
    }
}
