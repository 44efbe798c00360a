//! The target of a call, and what ends the wait for its answer.

use std::sync::Arc;

use callgate_layout::envelope::CallKind;
use callgate_layout::life::Ended;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{Code, clock};

use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::base::deadline::whose;
use crate::base::error::{Error, Result};
use crate::link::Link;
use crate::serve::waits::Reporter;

/// Where a call goes, and its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) link: &'a Link,
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// In nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
}

/// What all calls of one handle share.
pub(crate) struct Origin {
    pub(crate) gate: Arc<str>,
    pub(crate) backoff: Backoff,
    /// Reports their waits to the broker.
    pub(crate) reporter: Arc<dyn Reporter>,
}

/// Where a call goes, and how its answer is awaited.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) to: Destination<'a>,
    pub(crate) by: &'a Origin,
    pub(crate) cancel: Option<&'a CancelToken>,
}

impl<'a> Target<'a> {
    /// Whether the caller's token is cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }

    /// The token's state, as a word to sleep on besides others.
    pub(crate) fn cancelled_word(&self) -> Option<futex::Awaited<'a>> {
        self.cancel.map(CancelToken::word)
    }
}

/// Whether and how a wait for an answer has ended. To be called after the words to sleep on were read.
pub(crate) fn ended(target: &Target<'_>, ticket: Ticket) -> Option<Result<()>> {
    let link = target.to.link;
    if let Some(by_link) = link.ended(ticket) {
        return Some(match by_link {
            Ended::Answered => Ok(()),
            Ended::Untaken => Err(link.closed()),
            Ended::Gone => Err(gone(link)),
        });
    }
    if target.is_cancelled() {
        return Some(Err(cancelled(link)));
    }
    (clock::now() >= target.to.deadline).then(|| Err(timed_out(link, target.to.deadline)))
}

#[cold]
pub(super) fn cancelled(link: &Link) -> Error {
    Error::new(
        Code::Cancelled,
        format!("the call to plugin `{}` was given up", link.peer().name()),
    )
}

/// The error of a call that was not answered in time. The next call rings its provider again.
#[cold]
pub(super) fn timed_out(link: &Link, deadline: u64) -> Error {
    link.ring_again();
    let (name, whose) = (link.peer().name(), whose(deadline));
    Error::new(
        Code::Timeout,
        format!(
            "plugin `{name}` did not answer before the deadline; this call may have run, may be running, or \
             still waits behind others{whose}"
        ),
    )
}

/// The error for a call whose caller would wait on top of another chain's wait: that other wait could not go on
/// before this one is over.
#[cold]
pub(super) fn buried() -> Error {
    buried_call("was not made")
}

/// The same error, for a call that was sent already.
#[cold]
pub(super) fn buried_after_sending() -> Error {
    buried_call("was sent before, and is given up now")
}

fn buried_call(was: &str) -> Error {
    let text = format!(
        "this handler's gate is re-entrant, and it runs on top of another handler, which waits for an answer \
         and cannot go on before this one has ended. So it may not wait for a call itself; this call {was}. \
         Send calls without waiting for them, answer later, or do not declare the handler's gate re-entrant"
    );
    Error::new(Code::Deadlock, text)
}

/// The error for a link on which nothing can be published.
#[cold]
pub(crate) fn unavailable(link: &Link) -> Error {
    match link.is_gone() {
        true => gone(link),
        false => link.closed(),
    }
}

/// The error of calls on a link that has ended.
pub(crate) fn gone(link: &Link) -> Error {
    link.reason().cloned().unwrap_or_else(|| {
        Error::new(
            Code::ProviderGone,
            format!("plugin `{}` is gone", link.peer().name()),
        )
    })
}
