//! Completions: where the outcome of a sent call is put, and who is woken for it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::link::Link;

/// A call that failed, and the link through which it went, if any.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) error: Error,
    pub(crate) link: Option<Arc<Link>>,
}

/// The outcome of a call.
pub(crate) type Outcome = Result<Bytes, Lost>;

/// The outcome of one call, once it has come.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    UnderWay,
    Awaited(Waker),
    Over(Outcome),
    Taken,
}

impl Completion {
    /// Puts the outcome in, and wakes a thread that waits for it. Returns the waker of a task that waits for it;
    /// the caller calls that without a lock, because it runs code of the program.
    pub(super) fn complete(&self, outcome: Outcome) -> Option<Waker> {
        let before = std::mem::replace(&mut *self.state.lock(), State::Over(outcome));
        self.change.notify_all();
        match before {
            State::Awaited(waker) => Some(waker),
            _ => None,
        }
    }

    /// Takes the outcome, if there is one.
    pub(super) fn take(&self) -> Option<Outcome> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Over(outcome) => Some(outcome),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Waits for the outcome and takes it; `None` if there is none by then, or if `is_called` is true after a
    /// [nudge](Completion::nudge).
    pub(super) fn wait(&self, until: Instant, is_called: impl Fn() -> bool) -> Option<Outcome> {
        let mut state = self.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Over(outcome) => return Some(outcome),
                other => *state = other,
            }
            if is_called() || Instant::now() >= until {
                return None;
            }
            self.change.wait_until(&mut state, until);
        }
    }

    /// Has the waiting thread look at `is_called`, which is true already.
    pub(super) fn nudge(&self) {
        // Locked, so that the thread is not just between its look and its sleep.
        drop(self.state.lock());
        self.change.notify_all();
    }

    /// Takes the outcome, or has the waker called as soon as there is one.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        // The new waker is cloned before the lock is taken, and the old one dropped after it was released: both run
        // code of the program.
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        let before = match std::mem::replace(&mut *state, State::Taken) {
            State::Over(outcome) => {
                drop(state);
                return Poll::Ready(outcome);
            }
            other => other,
        };
        *state = State::Awaited(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}
