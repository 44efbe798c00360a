//! The dispatch token: which chain may run a plugin's handlers.
//!
//! Handlers of one dispatcher never run at the same time, and calls between plugins of one process
//! run on their caller's thread: so there is a token. It belongs to a *chain*: what comes back in
//! the chain of a handler that waits may run meanwhile, on whatever thread.
//!
//! A dispatcher's thread keeps the token between two calls, so that a call costs it two plain
//! stores and no locked instruction. It lets go before it sleeps, and offers the token when a
//! caller in this process wants it. Here is how threads wait for a turn; the state itself is
//! [`Turns`].

use std::ops::Deref;

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::turns::{Lent, Turns};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::cancel::CancelToken;
use crate::chain::thread_number;
use crate::wait::Patience;

pub(crate) use callgate_layout::turns::Turn;

/// Looks at a turn that is to come back before sleeping: most are only about to be ended.
const LOOKS: u32 = 100;

/// Who may run handlers.
#[derive(Debug, Default)]
pub(crate) struct Token {
    turns: CachePadded<Turns>,
}

/// A plugin's token. Tokens live for ever, so that a thread can note those that it has without
/// counting references; when a plugin is gone, the next one gets its token.
#[derive(Debug)]
pub(crate) struct Lease(&'static Token);

static SPARE: Mutex<Vec<&'static Token>> = Mutex::new(Vec::new());

impl Lease {
    pub(crate) fn new() -> Lease {
        let spare = SPARE.lock().pop();
        Lease(spare.unwrap_or_else(|| Box::leak(Box::default())))
    }

    /// The token itself, which outlives its plugin.
    #[inline]
    pub(crate) fn token(&self) -> &'static Token {
        self.0
    }
}

impl Deref for Lease {
    type Target = Token;

    #[inline]
    fn deref(&self) -> &Token {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.let_go();
        if self.0.holder().is_none() {
            SPARE.lock().push(self.0);
        }
    }
}

impl Token {
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

    /// As [`Token::visit`], waiting until the deadline or until the call is cancelled.
    #[cold]
    pub(crate) fn visit_until(
        &self,
        chain: u64,
        deadline: u64,
        cancel: Option<&CancelToken>,
        patience: &Patience,
    ) -> Option<Turn> {
        let (turns, me) = (&self.turns, thread_number());
        turns.begin_wanting();
        let is_cancelled = || cancel.is_some_and(CancelToken::is_cancelled);
        let first = turns.seen();
        let turn = loop {
            let seen = turns.seen();
            // It has waited for a turn of somebody else's; the next is not to be that one's again.
            if seen != first {
                turns.claim(me);
            }
            let turn = self.visit(chain);
            if turn.is_some() || is_cancelled() || clock::now() >= deadline {
                break turn;
            }
            let is_over = || turns.seen() != seen || is_cancelled();
            if !patience.stay_awake(deadline, is_over) {
                let changes = Awaited::private(turns.word(), seen);
                match cancel {
                    Some(cancel) => futex::wait_any(&[changes, cancel.word()], deadline),
                    None => futex::wait_any(&[changes], deadline),
                }
            }
        };
        turns.end_wanting();
        // Unused where it got in because somebody lent his turn.
        let was_due = turns.waive(me);
        // Without a turn: the dispatcher may wait for this one to be done.
        if was_due || turn.is_none() {
            self.tell();
        }
        turn
    }

    /// Ends a turn.
    #[inline]
    pub(crate) fn end(&self, turn: Turn) {
        if self.turns.end(turn) {
            self.tell();
        }
    }

    /// Whether a chain's turn could begin on the dispatcher's thread, which is this one.
    pub(crate) fn could_begin(&self, chain: u64) -> bool {
        self.turns.could_begin(chain, thread_number())
    }

    /// This thread is about to wait for an answer, if it is the one that has the chain's turn.
    pub(crate) fn begin_lending(&self, chain: u64) -> Option<Lent> {
        let (lent, is_awaited) = self.turns.begin_lending(chain, thread_number())?;
        if is_awaited {
            self.tell();
        }
        Some(lent)
    }

    /// Lends what was taken back once more, because this thread has to wait for another token.
    pub(crate) fn lend(&self, lent: Lent) {
        if self.turns.lend(lent) {
            self.tell();
        }
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
        self.turns.begin_waiting();
        let seen = self.turns.seen();
        if !is_back() {
            futex::wait_any(&[Awaited::private(self.turns.word(), seen)], u64::MAX);
        }
        self.turns.end_waiting();
    }

    /// Whether a caller in this process wants it.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.turns.is_wanted()
    }

    /// Whether a chain has the token.
    pub(crate) fn belongs_to(&self, chain: u64) -> bool {
        self.turns.belongs_to(chain)
    }

    /// The dispatcher lets callers in this process go first, if there are any.
    #[inline]
    pub(crate) fn offer(&self) {
        if self.turns.offer() {
            self.tell();
        }
    }

    /// The dispatcher lets go, because it has nothing to do.
    pub(crate) fn let_go(&self) {
        if self.turns.let_go() {
            self.tell();
        }
    }

    /// Who has the token; `None` where the dispatcher, which is this thread, could take it.
    pub(crate) fn holder(&self) -> Option<u64> {
        self.turns.holder(thread_number)
    }

    /// The dispatcher has waited longer than a turn, and has something to run.
    pub(crate) fn claim(&self) {
        self.turns.claim(thread_number());
    }

    /// It has not, after all.
    pub(crate) fn waive(&self) {
        if self.turns.waive(thread_number()) {
            self.tell();
        }
    }

    /// How often there was a change that somebody waited for.
    pub(crate) fn seen(&self) -> u32 {
        self.turns.seen()
    }

    /// The dispatcher is about to wait for the token: a word that changes when it is to look
    /// again, to be looked at after this.
    pub(crate) fn begin_waiting(&self) -> Awaited<'_> {
        self.turns.begin_waiting();
        Awaited::private(self.turns.word(), self.turns.seen())
    }

    /// The dispatcher waits no longer.
    pub(crate) fn end_waiting(&self) {
        self.turns.end_waiting();
    }

    #[cold]
    fn tell(&self) {
        self.turns.change();
        futex::wake_private(self.turns.word());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::wait::WaitPolicy;

    const ONE: u64 = 1 << 63 | 1;
    const TWO: u64 = 1 << 63 | 2;

    #[test]
    fn a_chain_comes_back_in_and_another_does_not() {
        let token = Token::default();
        let outer = token.visit(ONE).unwrap();
        let inner = token.begin(ONE).unwrap();
        assert!(token.visit(TWO).is_none());
        assert!(token.begin(TWO).is_none());
        token.end(inner);
        assert!(token.visit(TWO).is_none());
        token.end(outer);
        let other = token.visit(TWO).unwrap();
        token.end(other);
    }

    /// A dispatcher under load took the token again at once, and callers in its process starved.
    #[test]
    fn a_dispatcher_that_offers_waits_until_nobody_wants_it() {
        let token = Token::default();
        let turn = token.begin(ONE).unwrap();
        token.end(turn);
        assert!(token.visit(TWO).is_none());
        token.turns.begin_wanting();
        token.offer();
        assert!(token.begin(ONE).is_none());
        let visit = token.visit(TWO).unwrap();
        token.turns.end_wanting();
        assert!(token.begin(ONE).is_none());
        token.end(visit);
        assert!(token.begin(ONE).is_some());
    }

    /// Who had claimed the next turn got in because its chain lent one, and the claim stayed: nobody
    /// else had a turn ever again.
    #[test]
    fn a_claim_ends_with_the_wait() {
        let (token, patience) = (Token::default(), Patience::new(WaitPolicy::Park));
        let outer = token.visit(ONE).unwrap();
        std::thread::scope(|scope| {
            let inner = scope.spawn(|| {
                let turn = token.visit_until(ONE, u64::MAX, None, &patience);
                token.end(turn.unwrap());
            });
            while !token.is_wanted() {
                std::thread::yield_now();
            }
            for _ in 0..20 {
                std::thread::sleep(std::time::Duration::from_millis(1));
                token.tell();
            }
            let lent = token.begin_lending(ONE).unwrap();
            inner.join().unwrap();
            assert!(token.end_lending(lent));
        });
        token.end(outer);
        assert_eq!(token.holder(), None);
        token.end(token.visit(TWO).unwrap());
    }

    /// Handlers on two threads at once.
    #[test]
    fn turns_exclude_each_other() {
        let (token, patience) = (Token::default(), Patience::new(WaitPolicy::Adaptive));
        let inside = AtomicU32::new(0);
        let visit = |chain: u64| {
            for _ in 0..2_000 {
                let turn = token
                    .visit(chain)
                    .or_else(|| token.visit_until(chain, u64::MAX >> 1, None, &patience));
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                inside.fetch_sub(1, Ordering::SeqCst);
                token.end(turn.unwrap());
            }
        };
        std::thread::scope(|scope| {
            for thread in 1..4 {
                let visit = &visit;
                scope.spawn(move || visit(1 << 63 | thread));
            }
        });
        assert_eq!(token.holder(), None);
    }
}
