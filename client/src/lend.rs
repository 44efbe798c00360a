//! Which tokens a thread has, and lending them to the rest of its chain while it waits.
//!
//! What comes back in a chain may run beside a handler of the same plugin only while that one
//! waits. It does not always: who gave a call up goes on while what it called may come back yet.

use std::cell::Cell;

use callgate_layout::envelope::MAX_DEPTH;
use callgate_layout::turns::Lent;

use crate::cancel::CancelToken;
use crate::chain;
use crate::token::{Token, Turn};
use crate::wait::Patience;

thread_local! {
    /// The token of each handler on this thread's stack. What stands above the last one, or was
    /// put here by a turn that is over, is not this thread's any more, and its token knows that.
    static HELD: [Cell<Option<&'static Token>>; MAX_DEPTH as usize] =
        const { [const { Cell::new(None) }; MAX_DEPTH as usize] };
}

/// Notes the token that the handler needs which this thread runs next.
#[inline]
pub(crate) fn hold(token: &'static Token) {
    HELD.with(|held| {
        if let Some(cell) = held.get(chain::nesting()) {
            cell.set(Some(token));
        }
    });
}

/// Lends the tokens that this thread has until this is dropped, which waits until all are back.
#[derive(Default)]
pub(crate) struct Lending {
    /// Most chains have one here.
    first: Option<(&'static Token, Lent)>,
    more: Vec<(&'static Token, Lent)>,
}

/// Lends what this thread has, because it is about to wait inside its chain.
pub(crate) fn lend() -> Lending {
    let mut lending = Lending::default();
    let Some(chain) = chain::current() else {
        return lending;
    };
    HELD.with(|held| {
        let held = held.iter().take(chain::nesting()).filter_map(Cell::get);
        for token in held {
            // At most once: it is not this thread's after that.
            let Some(lent) = token.begin_lending(chain.id) else {
                continue;
            };
            match lending.first {
                None => lending.first = Some((token, lent)),
                Some(_) => lending.more.push((token, lent)),
            }
        }
    });
    lending
}

/// As [`Token::visit_until`], lending what this thread has meanwhile: who has the token may need
/// that.
#[cold]
pub(crate) fn visit_until(
    token: &'static Token,
    chain: u64,
    deadline: u64,
    cancel: Option<&CancelToken>,
    patience: &Patience,
) -> Option<Turn> {
    let lending = lend();
    let turn = token.visit_until(chain, deadline, cancel, patience);
    lending.end_with(turn.is_some().then_some((token, chain)));
    turn
}

impl Lending {
    /// Takes everything back, waiting until it is there; meanwhile the turn that was just had is lent,
    /// too: who has what is missing may wait for it.
    fn end_with(mut self, gained: Option<(&'static Token, u64)>) {
        if self.take_back().is_none() {
            // There is nothing to wait for any more.
            (self.first, self.more) = (None, Vec::new());
        } else if let Some((token, chain)) = gained
            && let Some(lent) = token.begin_lending(chain)
        {
            self.more.push((token, lent));
        }
    }

    fn all(&self) -> impl Iterator<Item = (&'static Token, Lent)> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// Takes all of them back, or none; one that is not back yet.
    fn take_back(&self) -> Option<(&'static Token, Lent)> {
        let is_out = |&(token, lent): &(&'static Token, Lent)| !token.end_lending(lent);
        let (at, missing) = self.all().enumerate().find(|(_, one)| is_out(one))?;
        // Whoever has it may need the others.
        for (token, lent) in self.all().take(at) {
            token.lend(lent);
        }
        Some(missing)
    }
}

impl Drop for Lending {
    #[inline]
    fn drop(&mut self) {
        while let Some((token, lent)) = self.take_back() {
            token.await_return(lent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use callgate_layout::clock;
    use callgate_layout::envelope::Chain;

    use super::*;
    use crate::token::Lease;
    use crate::wait::WaitPolicy;

    const A: u64 = 1 << 63 | 1;
    const B: u64 = 1 << 63 | 2;
    const LONG: Duration = Duration::from_secs(60);

    /// One thread had the second token and waited for the first, which it had lent; the other had
    /// borrowed that and waited for the second: both until their deadline.
    #[test]
    fn two_threads_of_a_chain_both_get_a_second_token() {
        let (first, second) = (Lease::new(), Lease::new());
        let (first, second) = (first.token(), second.token());
        let others = second.visit(B).unwrap();
        let inside = |depth| {
            let turn = loop {
                // The second to come in waits until it is lent.
                if let Some(turn) = first.visit(A) {
                    break turn;
                }
                std::thread::yield_now();
            };
            hold(first);
            let entered = chain::enter(Chain { id: A, depth });
            let (until, patience) = (
                clock::now() + LONG.as_nanos() as u64,
                Patience::new(WaitPolicy::Adaptive),
            );
            let gained = visit_until(second, A, until, None, &patience).unwrap();
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

    /// Does something inside two plugins' handlers that stand on each other, both of one chain.
    fn inside_two(tokens: [&'static Token; 2], work: impl FnOnce()) {
        let [first, second] = tokens;
        let outer = first.visit(A).expect("it is free");
        hold(first);
        let entered = chain::enter(Chain { id: A, depth: 1 });
        let inner = second.visit(A).expect("it is free");
        hold(second);
        let deeper = chain::enter(Chain { id: A, depth: 2 });
        work();
        drop(deeper);
        second.end(inner);
        drop(entered);
        first.end(outer);
    }

    /// What another thread of the chain gets of these tokens, and gives back.
    fn borrow(tokens: [&'static Token; 2]) -> [bool; 2] {
        let attempt = || {
            tokens.map(|token| {
                let turn = token.visit(A);
                turn.map(|turn| token.end(turn)).is_some()
            })
        };
        std::thread::scope(|scope| scope.spawn(attempt).join().expect("no panic"))
    }

    /// Of two tokens that a thread had lent only the first came back: what came in in the chain ran
    /// beside the handler of the second plugin for ever after.
    #[test]
    fn every_token_that_was_lent_comes_back() {
        let leases = [Lease::new(), Lease::new()];
        let tokens = [leases[0].token(), leases[1].token()];
        inside_two(tokens, || {
            assert_eq!(borrow(tokens), [false; 2]);
            for _ in 0..3 {
                let lending = lend();
                assert_eq!(borrow(tokens), [true; 2]);
                drop(lending);
                assert_eq!(borrow(tokens), [false; 2]);
            }
        });
        assert_eq!(tokens.map(Token::holder), [None; 2]);
    }

    /// A thread had its first token back and kept it while it waited for the second, whose borrower
    /// needed the first to come to an end.
    #[test]
    fn what_came_back_is_lent_again_while_the_rest_is_missing() {
        let leases = [Lease::new(), Lease::new()];
        let tokens = [leases[0].token(), leases[1].token()];
        let [first, second] = tokens;
        let until = Instant::now() + LONG / 3;
        inside_two(tokens, || {
            let lending = lend();
            let (borrowed, has_borrowed) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let other = scope.spawn(move || {
                    let turn = second.visit(A).expect("it is lent");
                    borrowed.send(()).expect("somebody hears");
                    // Let it be missed.
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
            assert_eq!(borrow(tokens), [false; 2]);
        });
        assert_eq!(tokens.map(Token::holder), [None; 2]);
    }
}
