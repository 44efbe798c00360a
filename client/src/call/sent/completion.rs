//! Where the outcome of a call that was sent is put, and who is told.

use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::base::bytes::Bytes;
use crate::base::error::Result;

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
    Over(Result<Bytes>),
    Taken,
}

impl Completion {
    /// Puts the outcome there and tells who waits.
    pub(super) fn complete(&self, outcome: Result<Bytes>) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Over(outcome));
        self.change.notify_all();
        // Not while anything is locked: it may poll at once.
        if let State::Awaited(waker) = before {
            waker.wake();
        }
    }

    /// Waits for the outcome and takes it. There is one by the call's deadline.
    pub(crate) fn wait(&self) -> Result<Bytes> {
        let mut state = self.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Over(outcome) => return outcome,
                other => *state = other,
            }
            self.change.wait(&mut state);
        }
    }

    /// Takes the outcome, or has the waker called as soon as there is one.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Over(outcome) => Poll::Ready(outcome),
            State::Awaited(waker) if waker.will_wake(context.waker()) => {
                *state = State::Awaited(waker);
                Poll::Pending
            }
            _ => {
                *state = State::Awaited(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
