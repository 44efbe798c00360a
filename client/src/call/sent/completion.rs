//! Where the outcome of a call that was sent is put, and who is told.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::link::Link;

/// A call that failed, and the link that it went through, if it did.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) error: Error,
    pub(crate) link: Option<Arc<Link>>,
}

/// What came of a call.
pub(crate) type Outcome = Result<Bytes, Lost>;

/// The place of one call's outcome.
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
    /// Puts the outcome there, and tells the thread that waits for it. Gives back the waker of a task that
    /// does: to be woken where nothing is locked, because it may do anything.
    pub(super) fn complete(&self, outcome: Outcome) -> Option<Waker> {
        let before = std::mem::replace(&mut *self.state.lock(), State::Over(outcome));
        self.change.notify_all();
        match before {
            State::Awaited(waker) => Some(waker),
            _ => None,
        }
    }

    /// Waits for the outcome and takes it; `None` where there is none by then.
    pub(super) fn wait(&self, until: Instant) -> Option<Outcome> {
        let mut state = self.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Over(outcome) => return Some(outcome),
                other => *state = other,
            }
            if Instant::now() >= until {
                return None;
            }
            self.change.wait_until(&mut state, until);
        }
    }

    /// Takes the outcome, or has the waker called as soon as there is one.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        // Cloned before anything is locked, and the one before it dropped when nothing is any more: both
        // run code of the program's.
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
