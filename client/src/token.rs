//! The dispatch token: which chain may run a plugin's handlers.
//!
//! Handlers of one dispatcher never run at the same time, and calls between plugins of one process
//! run on their caller's thread: so there is a token. It belongs to a *chain*: what comes back in
//! the chain of the handler that runs may run too, on whatever thread, because the rest of the
//! chain waits for it.
//!
//! A dispatcher's thread keeps the token between two calls ([`IDLE`]), so that a call costs it two
//! plain stores and no locked instruction. It lets go before it sleeps, and offers the token when
//! a caller in this process wants it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};

use crate::cancel::CancelToken;
use crate::wait::Patience;

/// Nobody has it.
const FREE: u64 = 0;
/// The dispatcher has it, and runs nothing.
const IDLE: u64 = 1;
/// The dispatcher lets callers in this process go first.
const OFFERED: u64 = 2;

/// Who may run handlers. Chains have numbers above these three.
#[derive(Debug)]
pub(crate) struct Token {
    owner: AtomicU64,
    /// Callers of this process that want it.
    wanted: AtomicU32,
    /// How many threads are to be told when it is free: those, and the dispatcher's.
    waiters: AtomicU32,
    /// Changes with every end of a turn that somebody waited for.
    changes: AtomicU32,
}

/// A turn at running handlers.
#[derive(Debug)]
#[must_use = "a turn ends when it is given back"]
pub(crate) struct Turn {
    /// Whose the token is afterwards; `None` where the chain had it already.
    after: Option<u64>,
}

impl Token {
    pub(crate) fn new() -> Token {
        Token {
            owner: AtomicU64::new(FREE),
            wanted: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        }
    }

    /// Begins a chain's turn on the dispatcher's thread; `None` while another chain has the token.
    #[inline]
    pub(crate) fn begin(&self, chain: u64) -> Option<Turn> {
        let owner = self.owner.load(Ordering::Acquire);
        if owner == IDLE {
            // Only this thread takes the token out of this state.
            self.owner.store(chain, Ordering::Relaxed);
            return Some(Turn { after: Some(IDLE) });
        }
        self.begin_anew(chain, owner)
    }

    #[cold]
    fn begin_anew(&self, chain: u64, owner: u64) -> Option<Turn> {
        if owner == chain {
            return Some(Turn { after: None });
        }
        let is_open = owner == FREE || owner == OFFERED && !self.is_wanted();
        (is_open && self.swap(owner, chain)).then_some(Turn { after: Some(IDLE) })
    }

    /// Begins a chain's turn on a thread that is no dispatcher's; `None` while another has it.
    #[inline]
    pub(crate) fn visit(&self, chain: u64) -> Option<Turn> {
        if self.swap(FREE, chain) {
            return Some(Turn { after: Some(FREE) });
        }
        let owner = self.owner.load(Ordering::Acquire);
        if owner == chain {
            return Some(Turn { after: None });
        }
        (owner == OFFERED && self.swap(OFFERED, chain)).then_some(Turn { after: Some(FREE) })
    }

    #[inline]
    fn swap(&self, from: u64, to: u64) -> bool {
        self.owner
            .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
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
        self.waiters.fetch_add(1, Ordering::SeqCst);
        self.wanted.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let is_cancelled = || cancel.is_some_and(CancelToken::is_cancelled);
        let turn = loop {
            let seen = self.changes.load(Ordering::SeqCst);
            let turn = self.visit(chain);
            if turn.is_some() || is_cancelled() || clock::now() >= deadline {
                break turn;
            }
            let is_over = || self.changes.load(Ordering::SeqCst) != seen || is_cancelled();
            if !patience.stay_awake(deadline, is_over) {
                let changes = Awaited::private(&self.changes, seen);
                match cancel {
                    Some(cancel) => futex::wait_any(&[changes, cancel.word()], deadline),
                    None => futex::wait_any(&[changes], deadline),
                }
            }
        };
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        if turn.is_none() {
            // The dispatcher may wait for this one to be done.
            self.tell();
        }
        turn
    }

    /// Ends a turn.
    #[inline]
    pub(crate) fn end(&self, turn: Turn) {
        match turn.after {
            None => {}
            Some(FREE) => self.free(),
            Some(owner) => self.owner.store(owner, Ordering::Release),
        }
    }

    /// Whether a caller in this process wants it.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Whether a chain has the token.
    pub(crate) fn belongs_to(&self, chain: u64) -> bool {
        self.owner.load(Ordering::Acquire) == chain
    }

    /// The dispatcher lets callers in this process go first, if there are any.
    #[inline]
    pub(crate) fn offer(&self) {
        if self.is_wanted() && self.swap(IDLE, OFFERED) {
            self.tell();
        }
    }

    /// The dispatcher lets go, because it has nothing to do.
    pub(crate) fn let_go(&self) {
        if self.owner.load(Ordering::Relaxed) == IDLE {
            self.free();
        }
    }

    /// The chain that has the token; `None` where the dispatcher could take it.
    pub(crate) fn holder(&self) -> Option<u64> {
        match self.owner.load(Ordering::Acquire) {
            FREE | IDLE => None,
            OFFERED if !self.is_wanted() => None,
            owner => Some(owner),
        }
    }

    /// The dispatcher is about to wait for the token: a word that changes when it is to look
    /// again, to be looked at after this.
    pub(crate) fn begin_waiting(&self) -> Awaited<'_> {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Awaited::private(&self.changes, self.changes.load(Ordering::SeqCst))
    }

    /// The dispatcher waits no longer.
    pub(crate) fn end_waiting(&self) {
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    #[inline]
    fn free(&self) {
        self.owner.store(FREE, Ordering::Release);
        // Who waits counts itself, fences, and looks at the owner; here it is the other way
        // round: at least one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        futex::wake_private(&self.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::WaitPolicy;

    const ONE: u64 = 1 << 63 | 1;
    const TWO: u64 = 1 << 63 | 2;

    #[test]
    fn a_chain_comes_back_in_and_another_does_not() {
        let token = Token::new();
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
        let token = Token::new();
        let turn = token.begin(ONE).unwrap();
        token.end(turn);
        assert!(token.visit(TWO).is_none());
        token.wanted.fetch_add(1, Ordering::SeqCst);
        token.offer();
        assert!(token.begin(ONE).is_none());
        let visit = token.visit(TWO).unwrap();
        token.wanted.fetch_sub(1, Ordering::SeqCst);
        assert!(token.begin(ONE).is_none());
        token.end(visit);
        assert!(token.begin(ONE).is_some());
    }

    /// Handlers on two threads at once.
    #[test]
    fn turns_exclude_each_other() {
        let (token, patience) = (Token::new(), Patience::new(WaitPolicy::Adaptive));
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
