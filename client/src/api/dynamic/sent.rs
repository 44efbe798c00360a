//! The future of a call that was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use callgate_layout::Code;
use serde_json::Value;

use crate::api::shared::Shared;
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::call::sent::{Awaited, Completion, Follower, Lost, Outcome};

/// A call that was sent: a future of its result. Dropping it gives the call up; that does not stop the handler,
/// which can see that nobody waits any more.
///
/// It is ready at its deadline at the latest, also if its provider is killed, and when this plugin closes.
#[must_use = "dropping a call gives it up"]
pub struct Sent {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    /// In nanoseconds of the monotonic clock.
    pub(super) deadline: u64,
    /// `None` once the result was taken.
    pub(super) completion: Option<Arc<Completion>>,
    /// Once it was polled and was not ready.
    pub(super) follower: Option<Follower>,
}

impl Sent {
    /// Waits for the result on this thread, until the call's deadline at most.
    ///
    /// Inside a handler it holds the plugin's turn meanwhile, in a group that of all its plugins, and no call is
    /// served: use [`Gate::call`](super::Gate::call) there.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke).
    pub fn wait(mut self) -> Result<Bytes> {
        let state = &self.shared.state;
        state.check_here()?;
        let Some(completion) = self.completion.take() else {
            return Err(taken());
        };
        self.follower = None;
        let outcome = state.sent.wait(&Awaited {
            origin: &self.shared.origin,
            number: self.number,
            deadline: self.deadline,
            completion: &completion,
        });
        self.outcome(outcome)
    }

    /// As [`Sent::wait`], for a call in JSON: returns the result as a value, null for an action.
    ///
    /// # Errors
    ///
    /// As [`Sent::wait`]; `PROTOCOL` if the result is not JSON.
    pub fn wait_value(self) -> Result<Value> {
        value_of(&self.wait()?)
    }

    fn outcome(&self, outcome: Outcome) -> Result<Bytes> {
        outcome.map_err(|Lost { error, link }| match link {
            Some(link) => self.shared.failed(&link, error),
            None => error.at_gate(self.shared.gate.name().clone()),
        })
    }
}

/// Reads the JSON of a result. An action's result has no bytes and is null.
pub(super) fn value_of(result: &[u8]) -> Result<Value> {
    match result.is_empty() {
        true => Ok(Value::Null),
        // The handler did run, even where its result cannot be read.
        false => json::read_result(result).map_err(Error::maybe_run),
    }
}

fn taken() -> Error {
    Error::new(Code::InvalidArgument, "the result was taken before")
}

impl Future for Sent {
    type Output = Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Result<Bytes>> {
        // In a forked child no thread would ever complete it.
        self.shared.state.check_here()?;
        let Some(completion) = &self.completion else {
            return Poll::Ready(Err(taken()));
        };
        let Poll::Ready(outcome) = completion.poll(context) else {
            if self.follower.is_none() {
                self.follower = Some(self.shared.state.sent.follow());
            }
            return Poll::Pending;
        };
        (self.completion, self.follower) = (None, None);
        Poll::Ready(self.outcome(outcome))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.completion.take().is_some() && self.shared.state.is_here() {
            self.shared.state.sent.give_up(self.number);
        }
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent")
            .field("gate", &self.shared.gate.name())
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
