//! What the clones of a gate's handle share: the open gate, waiting for it, and what happens to a call that found
//! it absent or was refused.

use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding, clock};

use crate::base::cancel::CancelToken;
use crate::base::deadline::{call_due, instant_after};
use crate::base::due::TimeLimit;
use crate::base::error::{Again, Error, Result};
use crate::call::sent::{Asks, Standing};
use crate::call::target::{Origin, Target};
use crate::link::Link;
use crate::serve::round;
use crate::session::here::has_here;
use crate::session::numbers::MembershipId;
use crate::session::open_gate::{Asked, NOBODY, OpenGate, Question, Waited, Way, is_known, nobody};
use crate::session::plugin_state::PluginState;

/// A wait shorter than this only looks, so the broker is not asked why nobody provides the gate.
const WORTH_ASKING: Duration = Duration::from_millis(10);
/// How long the broker gets to answer a wait for a gate, even if the wait itself is shorter.
const ANSWER: Duration = Duration::from_millis(500);

/// The longest wait, far from the end of the clock's range.
const MOST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a question for sent calls waits for room in the broker's socket; after that their thread looks after
/// other calls again.
const ROOM: Duration = Duration::from_millis(5);

/// What the clones of a subscriber share.
pub(crate) struct Shared {
    pub(crate) state: Arc<PluginState>,
    pub(crate) number: u32,
    pub(crate) gate: Arc<OpenGate>,
    pub(crate) origin: Origin,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.state.is_here() {
            self.state.close_gate(self.number);
        }
    }
}

/// Marks the error of a call that found no way to its gate: the call may be repeated within its time.
#[cold]
pub(crate) fn no_way(error: Error) -> Error {
    match error.code() {
        Code::Closed => error,
        _ => error.with_again(Again::InTime),
    }
}

/// Marks the error of a call that failed before anything was sent, because something was missing: if the link has
/// ended, the call may be repeated.
#[cold]
pub(crate) fn nothing_sent(link: &Link, error: Error) -> Error {
    match link.is_open() && error.code() != Code::BrokerGone {
        true => error,
        false => no_way(error),
    }
}

/// Marks the error of a call to a provider in this process. `due` is the call's deadline, or 0 if that was not
/// computed.
#[cold]
pub(crate) fn missed_here(error: Error, due: u64) -> Error {
    match (error.is_refusal(), due) {
        (false, _) => error,
        (true, 0) => error.with_again(Again::InTime),
        (true, due) => error.with_again(Again::By(due)),
    }
}

impl Asks for Shared {
    fn ask(&self) -> Standing {
        let until = instant_after(ROOM);
        match self.state.ask(self.number, &self.gate, until) {
            Ok(question) => Standing::Asked(question.number()),
            Err(error) => self.unasked(Some(&error)),
        }
    }

    fn look(&self, question: u64, (kind, encoding): (CallKind, Encoding)) -> Standing {
        let asked = Question::of(question);
        match self.gate.look_at(asked) {
            Asked::Waiting => Standing::Asked(question),
            Asked::Told => {
                let state = self.gate.state();
                let way = state.way_in(encoding, (kind, self.gate.name()));
                Standing::Told(way.map(|way| (way.link.clone(), way.index)))
            }
            Asked::Untold | Asked::Cancelled | Asked::NoBroker => self.unasked(None),
            Asked::Unsent => {
                let until = instant_after(ROOM);
                let gate = (&self.gate, asked);
                match self.state.ask_in_place(self.number, gate, until) {
                    Ok(()) => Standing::Asked(question),
                    Err(error) => self.unasked(Some(&error)),
                }
            }
        }
    }
}

impl Shared {
    /// The target of a call of this gate.
    #[inline(always)]
    pub(crate) fn target<'a>(
        &'a self,
        (way, kind, deadline): (&'a Way, CallKind, u64),
        cancel: Option<&'a CancelToken>,
    ) -> Target<'a> {
        Target {
            to: way.destination(kind, deadline),
            by: &self.origin,
            cancel,
        }
    }

    /// The standing of a sent call whose question was not answered, or could not be sent.
    fn unasked(&self, error: Option<&Error>) -> Standing {
        match error.map(Error::code) {
            _ if self.state.presence.is_away() => Standing::Away,
            // The end of the broker will be noticed soon.
            Some(Code::Timeout | Code::BrokerGone) if !self.state.is_over() => Standing::Later,
            _ => Standing::Unknown,
        }
    }

    /// Makes a call. If it certainly did not run and the broker knows a way, repeats it; and again each time
    /// another broker ends meanwhile.
    pub(crate) fn with_another_look<T>(
        &self,
        kind: CallKind,
        (limit, cancel): (TimeLimit, Option<&CancelToken>),
        attempt: impl Fn(TimeLimit) -> Result<T>,
    ) -> Result<T> {
        let mut outcome = attempt(limit);
        let mut limit = limit;
        loop {
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            limit = self.look_again(error, kind, (limit, cancel))?;
            let by = self.state.membership().id;
            outcome = attempt(limit);
            if !outcome
                .as_ref()
                .is_err_and(|error| self.is_gone_again(error, by))
            {
                return outcome;
            }
        }
    }

    /// Whether a repeated call, which followed what the broker of this membership had said, failed because that
    /// broker has ended as well.
    #[cold]
    pub(crate) fn is_gone_again(&self, error: &Error, by: MembershipId) -> bool {
        let is_new = || self.state.presence.is_away() || self.state.membership().id != by;
        let may_again = !matches!(error.again(), Again::Never);
        may_again && (error.code() == Code::BrokerGone || is_new())
    }

    /// Asks the broker for the state of the gate, for a call that failed. Returns the time that is left to repeat
    /// the call, or the error with which it fails for good.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_again(
        &self,
        error: Error,
        kind: CallKind,
        (limit, cancel): (TimeLimit, Option<&CancelToken>),
    ) -> Result<TimeLimit> {
        let due = match error.again() {
            Again::Never => None,
            Again::InTime => call_due(limit).ok(),
            Again::By(due) => Some(due),
        };
        let Some(due) = due else {
            return Err(error);
        };
        let gate = (self.number, &self.gate);
        let was_over = self.state.is_over();
        // What a handler has left for the end of its round is done before it waits.
        round::end();
        let asked = self.state.await_standing(gate, due, cancel);
        let left = limit.left_until(due);
        match asked {
            Asked::Told if self.is_awaited() || error.code() == Code::BrokerGone => {
                // The old way has ended, or is of no use to this call.
                let by = self.state.membership().id;
                self.gate.await_way_of(by, (due, cancel));
                match limit.left_until(due) {
                    left if left.is_zero() => Err(error),
                    left => Ok(left),
                }
            }
            Asked::Told if !left.is_zero() => {
                let until = self.state.presence.others_return_until().min(due);
                self.gate.await_owner((until, cancel));
                let state = self.gate.state();
                let way = state.way(kind, self.gate.name());
                match (way, limit.left_until(due)) {
                    (Err(now), _) => Err(now.after(error)),
                    (Ok(_), left) if left.is_zero() => Err(error),
                    (Ok(_), left) => Ok(left),
                }
            }
            Asked::NoBroker => Err(self.no_broker(error, was_over)),
            Asked::Cancelled => {
                let error = Error::new(Code::Cancelled, "the call was given up");
                Err(error.at_gate(self.gate.name().clone()))
            }
            _ => Err(error),
        }
    }

    /// Whether the gate's provider may still come to the bus of the new broker.
    fn is_awaited(&self) -> bool {
        self.gate.is_awaited(self.state.membership().id)
    }

    /// The error of a call that found no way, and no broker within its time.
    fn no_broker(&self, error: Error, was_over: bool) -> Error {
        match self.state.presence.check() {
            // If no broker was awaited, the call keeps the error that it had.
            Err(away) if !was_over => away.at_gate(self.gate.name().clone()),
            _ => error,
        }
    }

    /// The error of a call through a link.
    #[cold]
    pub(crate) fn missed(&self, link: &Link, error: Error, due: u64) -> Error {
        // If the link ended before the call was published, the call may be repeated whatever the reason. If the
        // link's broker has ended, there may be a way over another link, which has the memory that this one lacks.
        let is_other_way = link.is_gone() || error.code() == Code::BrokerGone;
        let is_refused = error.is_refusal() || !error.may_have_run() && is_other_way;
        let error = self.failed(link, error);
        match is_refused {
            true => error.with_again(Again::By(due)),
            false => error,
        }
    }

    /// Whether the broker cannot know better than this plugin that there is no way to the gate.
    pub(crate) fn is_final(&self, error: &Error) -> bool {
        error.code() == Code::Closed || self.state.is_over()
    }

    /// Whether the gate has one half now. Exact for providers in this process; for others it is the last news from
    /// the broker.
    pub(crate) fn has(&self, kind: CallKind) -> bool {
        let state = self.gate.state();
        has_here(
            self.state.membership().bus,
            self.gate.name(),
            kind,
            state.owner(),
        )
        .unwrap_or_else(|| state.has(kind))
    }

    /// Waits until the gate can be called. If nobody provides it, asks the broker why.
    pub(crate) fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let until = instant_after(timeout);
        // First catches up with what other plugins may already know of the gate. Without a broker, the gate is as
        // ready as its link is.
        let answer = timeout.max(ANSWER).min(MOST).as_nanos() as u64;
        let gate = (self.number, &self.gate);
        self.state.ask_standing(gate, clock::now() + answer);
        loop {
            match self.gate.wait_ready(until) {
                Ok(Waited::Ready) => return Ok(()),
                Ok(Waited::StartFailed) => {
                    if let Some(why) = self.why_absent()
                        && why.code() == Code::ProviderGone
                    {
                        return Err(self.not_ready("nobody provides the gate", &why));
                    }
                }
                Err(error) => return Err(self.explained(error, timeout)),
            }
        }
    }

    /// Adds the broker's reason to the error of a wait for a gate that nobody provides.
    fn explained(&self, error: Error, timeout: Duration) -> Error {
        let is_absent = error.code() == Code::NotReady && self.gate.state().owner().is_none();
        if !is_absent || timeout < WORTH_ASKING {
            return error;
        }
        if let Err(away) = self.state.presence.check() {
            return away.at_gate(self.gate.name().clone());
        }
        match self.why_absent() {
            Some(why) => {
                // It may say already what the broker knew when the wait began.
                let is_told = error.message().starts_with(NOBODY);
                let what = if is_told { NOBODY } else { error.message() };
                self.not_ready(what, &why)
            }
            None => error,
        }
    }

    /// Asks the broker for the gate's state, and why nobody provides it if so.
    pub(crate) fn ask_standing(&self) {
        let until = clock::now() + ANSWER.as_nanos() as u64;
        self.state.ask_standing((self.number, &self.gate), until);
    }

    /// The broker's reason: what happened to programs that it started and that were to provide the gate.
    fn why_absent(&self) -> Option<Error> {
        let gate = self.gate.name().to_string();
        let until = instant_after(ANSWER);
        let answer = self.state.request_until(until, |request| {
            let gate = gate.clone();
            GateToBroker::WhyAbsent { request, gate }.into()
        });
        answer.err().filter(is_known)
    }

    fn not_ready(&self, what: &str, why: &Error) -> Error {
        nobody(what, Some(why)).at_gate(self.gate.name().clone())
    }

    /// Completes a call's error with the gate's name. Ends a link that the call found closed. If the provider broke
    /// the protocol, tells the broker, so that both sides end the link.
    #[cold]
    pub(crate) fn failed(&self, link: &Link, error: Error) -> Error {
        let is_broken = error.code() == Code::Protocol && link.is_gone();
        if is_broken {
            // Whichever side notices first tells the broker.
            self.state.break_link(link, &error);
        } else if error.code() == Code::ProviderGone {
            let is_closed = link.look_at_closing();
            match link.is_gone() {
                // Without a broker nobody else reports the end while the provider's process lives.
                true => self.state.end_link(link, &error),
                false if is_closed => self.state.close_link(link),
                false => {}
            }
        }
        error.at_gate(self.gate.name().clone())
    }
}

/// The error for a call that has no time left, by its own timeout or by the deadline of the call that the handler
/// serves.
#[cold]
pub(crate) fn no_time(error: Error, gate: &Arc<str>) -> Error {
    error.at_gate(gate.clone())
}
