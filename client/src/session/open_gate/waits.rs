//! Waiting for a gate: to be known, to be ready, to have another way, to change.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::{Code, clock};

use super::event::GateEvent;
use super::{Half, OpenGate, State, Waited};
use crate::base::cancel::CancelToken;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::link::together;
use crate::session::numbers::MembershipId;

impl OpenGate {
    /// Waits until the gate's calls use a link of a membership, or cannot be made; until a time of the monotonic
    /// clock at most.
    pub(crate) fn await_way_of(
        &self,
        by: MembershipId,
        (until, cancel): (u64, Option<&CancelToken>),
    ) {
        let is_there = |state: &State| match state.way.is_some() {
            true => state.by == by,
            false => !state.is_awaited(by),
        };
        self.await_state(is_there, (until, cancel));
    }

    /// Waits until somebody provides the gate, or opening it is refused; until a time of the monotonic clock at most.
    pub(crate) fn await_owner(&self, patience: (u64, Option<&CancelToken>)) {
        let is_there = |state: &State| state.owner.is_some() || state.refused.is_some();
        self.await_state(is_there, patience);
    }

    fn await_state(
        &self,
        is_there: impl Fn(&State) -> bool,
        (until, cancel): (u64, Option<&CancelToken>),
    ) {
        loop {
            let seen = self.answers.load(Ordering::Acquire);
            let is_over = clock::now() >= until || cancel.is_some_and(CancelToken::is_cancelled);
            if is_over || is_there(&self.state()) {
                return;
            }
            together::ring_before_wait();
            let word = Awaited::private(&self.answers, seen);
            match cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
            futex_refused::log();
        }
    }

    /// Waits until the broker has sent the gate's state for the first time.
    pub(crate) fn wait_known(&self, late: impl FnOnce() -> Error, until: Instant) -> Result<()> {
        together::ring_before_wait();
        let mut progress = self.progress.lock();
        while !progress.is_known {
            if self.change.wait_until(&mut progress, until).timed_out() && !progress.is_known {
                drop(progress);
                return Err(late().at_gate(self.gate.clone()));
            }
        }
        match &progress.failure {
            Some(failure) => Err(failure.clone().at_gate(self.gate.clone())),
            None => Ok(()),
        }
    }

    /// Keeps changes from now on, for [`OpenGate::next_event`].
    pub(crate) fn watch(&self) {
        self.progress.lock().events = Some(VecDeque::new());
    }

    /// The next change, if there is one until then.
    pub(crate) fn next_event(&self, until: Instant) -> Result<Option<GateEvent>> {
        together::ring_before_wait();
        let mut progress = self.progress.lock();
        loop {
            if let Some(event) = progress.events.as_mut().and_then(VecDeque::pop_front) {
                return Ok(Some(event));
            }
            if let Some(failure) = progress.is_final() {
                return Err(failure.clone().at_gate(self.gate.clone()));
            }
            if self.change.wait_until(&mut progress, until).timed_out() && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// Waits until one of the gate's halves can be called. A mismatch of types is an error at once: only another
    /// provider could change it.
    pub(crate) fn wait_ready(&self, until: Instant) -> Result<Waited> {
        together::ring_before_wait();
        let mut progress = self.progress.lock();
        loop {
            let state = self.state();
            let halves = [&state.function, &state.action];
            let is_ready = halves.into_iter().any(Half::is_ready);
            let ended = match &state.way {
                Some(way) if is_ready => match way.ended() {
                    None => return Ok(Waited::Ready),
                    // Its host may know already, and wait for the program that it has started since.
                    ended => ended,
                },
                _ => None,
            };
            let mismatch = halves.into_iter().find(|half| half.mismatch().is_some());
            let refused = || {
                halves
                    .into_iter()
                    .find(|half| matches!(half, Half::Refused(_)))
            };
            let half = mismatch.or_else(refused).unwrap_or(&Half::Absent);
            let error = match ended {
                Some(ended) => ended.at_gate(self.gate.clone()),
                None => state.error(half, "function or action", &self.gate),
            };
            // If a half is ready and only the link is gone, news of that is on its way.
            if mismatch.is_some() && !is_ready {
                return Err(error);
            }
            if let Some(failure) = progress.is_final() {
                return Err(failure.clone().at_gate(self.gate.clone()));
            }
            if std::mem::take(&mut progress.start_failed) {
                return Ok(Waited::StartFailed);
            }
            if self.change.wait_until(&mut progress, until).timed_out() && Instant::now() >= until {
                let late = progress.is_compared.then(not_compared);
                let failure = progress.failure.clone().or(late);
                let failure = failure.map(|failure| failure.at_gate(self.gate.clone()));
                return Err(failure.unwrap_or(error));
            }
        }
    }
}

/// The error for a gate whose types are still not compared when the time is up.
#[cold]
fn not_compared() -> Error {
    let text = "the provider has other types, and the broker has not sent in time what it takes";
    Error::new(Code::Timeout, text)
}
