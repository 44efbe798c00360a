//! Lending: while a thread waits, it lends the turns that it has to the rest of its chain.
//!
//! A call that comes back in a chain may run beside a handler of the same plugin only while that handler waits. The
//! handler may go on before such a call has ended: when it has given up a call, whose own calls may still come
//! back.

use callgate_layout::turns::Lent;

use crate::base::chain;
use crate::base::error::Result;
use crate::serve::stack;
use crate::serve::turn::{Turn, TurnLock, Waiter};

/// The turns that this thread has lent. Dropping it waits until all are back.
#[derive(Default)]
pub(crate) struct Lending {
    /// Most chains have one turn here.
    first: Option<(&'static TurnLock, Lent)>,
    more: Vec<(&'static TurnLock, Lent)>,
}

/// Lends the turns that this thread has, because it is about to wait inside its chain.
pub(crate) fn lend() -> Lending {
    let mut lending = Lending::default();
    let Some(chain) = chain::current() else {
        return lending;
    };
    stack::each_turn_lock(|turn_lock| {
        // Each turn is lent at most once: after that it is not this thread's any more.
        let Some(lent) = turn_lock.begin_lending(chain.id) else {
            return;
        };
        match lending.first {
            None => lending.first = Some((turn_lock, lent)),
            Some(_) => lending.more.push((turn_lock, lent)),
        }
    });
    lending
}

/// As [`TurnLock::visit_until`]. Meanwhile lends the turns that this thread has, because the chain that has the
/// turn lock may need them.
#[cold]
pub(crate) fn visit_until(
    turn_lock: &'static TurnLock,
    (chain, is_reentrant): (u64, bool),
    waiter: &mut impl Waiter,
) -> Option<Turn> {
    let lending = lend();
    let turn = turn_lock.visit_until((chain, is_reentrant), waiter);
    lending.end_with(turn.is_some().then_some((turn_lock, chain)));
    turn
}

/// Waits for something that may come with a turn of a chain, and lends the turns that this thread has meanwhile.
#[cold]
pub(crate) fn lend_until<T>(
    wait: impl FnOnce() -> Result<T>,
    has_turn: impl FnOnce(&T) -> bool,
    turn: (&'static TurnLock, u64),
) -> Result<T> {
    let lending = lend();
    let found = wait();
    lending.end_with(found.as_ref().is_ok_and(has_turn).then_some(turn));
    found
}

impl Lending {
    /// Takes all turns back, waiting until they are there. Meanwhile the turn that was just gained is lent too,
    /// because the chain that has a missing turn may wait for it.
    fn end_with(mut self, gained: Option<(&'static TurnLock, u64)>) {
        if self.take_back().is_none() {
            // All are back, so the drop has nothing to wait for.
            (self.first, self.more) = (None, Vec::new());
        } else if let Some((turn_lock, chain)) = gained
            && let Some(lent) = turn_lock.begin_lending(chain)
        {
            self.more.push((turn_lock, lent));
        }
    }

    fn all(&self) -> impl Iterator<Item = (&'static TurnLock, Lent)> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// Takes all turns back, or none. Returns one that is not back yet.
    fn take_back(&self) -> Option<(&'static TurnLock, Lent)> {
        let is_out = |&(turn_lock, lent): &(&'static TurnLock, Lent)| !turn_lock.end_lending(lent);
        let (at, missing) = self.all().enumerate().find(|(_, one)| is_out(one))?;
        // The chain that has that one may need the others.
        for (turn_lock, lent) in self.all().take(at) {
            turn_lock.lend(lent);
        }
        Some(missing)
    }
}

impl Drop for Lending {
    #[inline]
    fn drop(&mut self) {
        while let Some((turn_lock, lent)) = self.take_back() {
            turn_lock.await_return(lent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use callgate_layout::clock;
    use callgate_layout::envelope::Chain;

    use super::*;
    use crate::base::backoff::{Backoff, WaitPolicy};
    use crate::base::due::Due;
    use crate::serve::turn::{Lease, Patience};

    const A: u64 = 1 << 63 | 1;
    const B: u64 = 1 << 63 | 2;
    const LONG: Duration = Duration::from_secs(60);

    /// One thread had the second turn lock and waited for the first, which it had lent. The other had borrowed the
    /// first and waited for the second. Both waited until their deadlines.
    #[test]
    fn two_threads_of_a_chain_both_get_a_second_token() {
        let (first, second) = (Lease::new(), Lease::new());
        let (first, second) = (first.turn_lock(), second.turn_lock());
        let others = second.visit(B).unwrap();
        let inside = |depth| {
            let turn = loop {
                // The second thread to come in waits until the lock is lent.
                if let Some(turn) = first.visit(A) {
                    break turn;
                }
                std::thread::yield_now();
            };
            stack::hold(Some(first), 0);
            let entered = chain::enter(Chain { id: A, depth }, Due::NEVER);
            let (until, backoff) = (
                clock::now() + LONG.as_nanos() as u64,
                Backoff::new(WaitPolicy::Adaptive),
            );
            let mut patience = Patience {
                deadline: until,
                cancel: None,
                backoff: &backoff,
            };
            let gained = visit_until(second, (A, false), &mut patience).unwrap();
            second.end(gained);
            drop(entered);
            first.end(turn);
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| inside(1));
            scope.spawn(|| inside(2));
            std::thread::sleep(Duration::from_millis(30));
            second.end(others);
        });
        assert!(start.elapsed() < LONG / 2);
        assert_eq!((first.holder(), second.holder()), (None, None));
    }

    /// Runs `work` inside handlers of two plugins, one on top of the other, in one chain.
    fn inside_two(turn_locks: [&'static TurnLock; 2], work: impl FnOnce()) {
        let [first, second] = turn_locks;
        let outer = first.visit(A).expect("it is free");
        stack::hold(Some(first), 0);
        let entered = chain::enter(Chain { id: A, depth: 1 }, Due::NEVER);
        let inner = second.visit(A).expect("it is free");
        stack::hold(Some(second), 0);
        let deeper = chain::enter(Chain { id: A, depth: 2 }, Due::NEVER);
        work();
        drop(deeper);
        second.end(inner);
        drop(entered);
        first.end(outer);
    }

    /// Which of these turn locks another thread of the chain can take; it gives them back.
    fn borrow(turn_locks: [&'static TurnLock; 2]) -> [bool; 2] {
        let attempt = || {
            turn_locks.map(|turn_lock| {
                let turn = turn_lock.visit(A);
                turn.map(|turn| turn_lock.end(turn)).is_some()
            })
        };
        std::thread::scope(|scope| scope.spawn(attempt).join().expect("no panic"))
    }

    /// Of two turn locks that a thread had lent, only the first came back. So calls that came in in the chain ran
    /// beside the handler of the second plugin from then on.
    #[test]
    fn every_token_that_was_lent_comes_back() {
        let leases = [Lease::new(), Lease::new()];
        let turn_locks = [leases[0].turn_lock(), leases[1].turn_lock()];
        inside_two(turn_locks, || {
            assert_eq!(borrow(turn_locks), [false; 2]);
            for _ in 0..3 {
                let lending = lend();
                assert_eq!(borrow(turn_locks), [true; 2]);
                drop(lending);
                assert_eq!(borrow(turn_locks), [false; 2]);
            }
        });
        assert_eq!(turn_locks.map(TurnLock::holder), [None; 2]);
    }

    /// A thread had its first turn lock back, and kept it while it waited for the second, whose borrower needed the
    /// first to finish.
    #[test]
    fn what_came_back_is_lent_again_while_the_rest_is_missing() {
        let leases = [Lease::new(), Lease::new()];
        let turn_locks = [leases[0].turn_lock(), leases[1].turn_lock()];
        let [first, second] = turn_locks;
        let until = Instant::now() + LONG / 3;
        inside_two(turn_locks, || {
            let lending = lend();
            let (borrowed, has_borrowed) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let other = scope.spawn(move || {
                    let turn = second.visit(A).expect("it is lent");
                    borrowed.send(()).expect("somebody hears");
                    // Gives the thread time to miss it.
                    std::thread::sleep(Duration::from_millis(50));
                    let mut needed = first.visit(A);
                    while needed.is_none() && Instant::now() < until {
                        std::thread::yield_now();
                        needed = first.visit(A);
                    }
                    let was_had = needed.map(|turn| first.end(turn)).is_some();
                    second.end(turn);
                    was_had
                });
                has_borrowed.recv().expect("it is borrowed");
                drop(lending);
                assert!(other.join().expect("no panic"), "it was kept");
            });
            assert_eq!(borrow(turn_locks), [false; 2]);
        });
        assert_eq!(turn_locks.map(TurnLock::holder), [None; 2]);
    }
}
