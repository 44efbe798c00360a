//! Answering a call later, from any thread.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use callgate_layout::clock::coarse_now;
use callgate_layout::envelope::CallKind;
use callgate_layout::pending::Ticket;
use callgate_layout::{Code, Encoding};
use serde_json::Value;

use super::checked::CheckedResult;
use super::{HandlerError, ReplyBuffer};
use crate::base::error::{Error, Result};

/// Publishes the answers of responders.
pub(crate) trait AnswerLater: Send + Sync {
    /// Publishes the answer to a call that was left for later.
    fn answer_later(
        &self,
        call: Deferred,
        outcome: Result<(), &Error>,
        reply: ReplyBuffer,
    ) -> Result<()>;

    /// Whether the caller has given up.
    fn is_cancelled(&self, ticket: Ticket) -> bool;
}

/// A call whose answer was left for later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferred {
    pub(crate) ticket: Ticket,
    pub(crate) kind: CallKind,
    /// The encoding of the call, in which the answer has to be written too.
    pub(crate) encoding: Encoding,
    /// In nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
}

/// The right and the duty to answer one call, at any time and from any thread.
///
/// The call holds neither the plugin's turn nor a thread meanwhile. Its caller waits until its deadline, as for any
/// call. An answer that comes after that is not seen by anybody, but it still has to come, because the caller's
/// slot is occupied until then. Dropping a responder answers with `HANDLER_ERROR`, whose `handler_code` is
/// `NOT_ANSWERED`.
pub struct Responder {
    /// `None` once it has answered. A weak reference, so that it does not keep the memory of a link that has ended.
    to: Option<Weak<dyn AnswerLater>>,
    call: Deferred,
}

impl Responder {
    pub(crate) fn new(to: Weak<dyn AnswerLater>, call: Deferred) -> Responder {
        Responder { to: Some(to), call }
    }

    /// The encoding of the call, in which its result has to be written too.
    pub fn encoding(&self) -> Encoding {
        self.call.encoding
    }

    /// Answers with a result: its archive, with the type in the gate's signature, or its JSON, in the encoding of
    /// the call ([`Responder::encoding`]). An action has no result; bytes that are given for one are ignored. It is
    /// no error if the caller has given up ([`Responder::is_cancelled`] tells) or the gate was withdrawn.
    ///
    /// # Errors
    ///
    /// If nobody can see the answer any more: `CLOSED` if this plugin has closed, or the reason why the link has
    /// ended. Otherwise `RESPONSE_TOO_LARGE`; [`SYSTEM`](Code::System) without memory; `HANDLER_ERROR` if the call
    /// came as JSON and `result` is not JSON, which the caller is told too.
    pub fn reply(self, result: &[u8]) -> Result<()> {
        let encoding = self.call.encoding;
        self.put(|reply| match encoding {
            Encoding::Archive => reply.put_bytes(result),
            Encoding::Json => reply.put_json_text(result),
        })
    }

    /// As [`Responder::reply`], with JSON that was checked already, for a call that came as JSON.
    ///
    /// # Errors
    ///
    /// As [`Responder::reply`]. `INVALID_ARGUMENT` for a call that came as an archive; it is then answered as if the
    /// responder had been dropped.
    pub fn reply_checked(self, result: CheckedResult<'_>) -> Result<()> {
        self.check_is_json()?;
        self.put(|reply| reply.put_bytes(result.bytes()))
    }

    /// Answers a call that came as JSON with a value.
    ///
    /// # Errors
    ///
    /// As [`Responder::reply`]. `TYPE_MISMATCH` for a value that nests more than 64 deep, which the caller is told
    /// too. `INVALID_ARGUMENT` for a call that came as an archive; it is then answered as if the responder had been
    /// dropped.
    pub fn reply_value(self, result: &Value) -> Result<()> {
        self.check_is_json()?;
        self.put(|reply| reply.put_value(result))
    }

    fn check_is_json(&self) -> Result<()> {
        if self.call.encoding == Encoding::Archive {
            let text = "the call has come as an archive, and its answer is to be one";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        Ok(())
    }

    /// Answers with what `put` writes; for an action, without a result.
    fn put(mut self, put: impl FnOnce(&mut ReplyBuffer) -> Result<()>) -> Result<()> {
        let mut reply = ReplyBuffer::new();
        let put = match self.call.kind {
            CallKind::Function => put(&mut reply),
            CallKind::Action => Ok(()),
        };
        self.answer(put.as_ref().copied(), reply)?;
        put
    }

    /// Answers with an error.
    ///
    /// # Errors
    ///
    /// As [`Responder::reply`].
    pub fn fail(mut self, error: impl Into<HandlerError>) -> Result<()> {
        let error = Error::from(error.into());
        self.answer(Err(&error), ReplyBuffer::new())
    }

    /// Answers with an error of this library, which the caller gets unchanged: code, message and context. Meant for
    /// programs that stand between a caller and the one who does the work, such as a bridge to another system, and
    /// that have to report that the other side is not ready ([`Code::NotReady`]), does not answer or has gone. For
    /// a handler's own failures use [`Responder::fail`].
    ///
    /// If the error says that the call certainly did not run, the caller's library may repeat the call, to a plugin
    /// that provides the gate by then. If the call may have run, mark the error with [`Error::maybe_run`].
    ///
    /// # Errors
    ///
    /// As [`Responder::reply`].
    pub fn refuse(mut self, error: Error) -> Result<()> {
        self.answer(Err(&error), ReplyBuffer::new())
    }

    /// Whether nobody waits for the answer any more: the caller gave up or has ended.
    pub fn is_cancelled(&self) -> bool {
        let to = self.to.as_ref().and_then(Weak::upgrade);
        to.is_none_or(|to| to.is_cancelled(self.call.ticket))
    }

    /// The time until the call's deadline, to within a tick of the kernel (some milliseconds).
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.call.deadline.saturating_sub(coarse_now()))
    }

    fn answer(&mut self, outcome: Result<(), &Error>, reply: ReplyBuffer) -> Result<()> {
        let Some(to) = self.to.take() else {
            return Ok(());
        };
        match to.upgrade() {
            Some(to) => to.answer_later(self.call, outcome, reply),
            None => Err(Error::new(Code::Closed, "the link to the caller has ended")),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.to.is_none() {
            return;
        }
        let error = match std::thread::panicking() {
            true => Error::new(
                Code::HandlerPanicked,
                "the handler panicked before it answered",
            )
            .maybe_run(),
            false => Error::from(HandlerError::new(
                "NOT_ANSWERED",
                "the handler dropped its responder without an answer",
            )),
        };
        // If this fails, the caller has ended, so nobody waits for the answer.
        let _ = self.answer(Err(&error), ReplyBuffer::new());
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
