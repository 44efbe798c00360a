//! Calling a gate with raw bytes, which the caller writes directly into shared memory.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::Space;
use callgate_layout::{Code, Encoding};

use super::shared::{Shared, no_time, no_way, nothing_sent};
use super::subscriber::DEFAULT_TIMEOUT;
use crate::base::cancel::CancelToken;
use crate::base::deadline::{NO_TIME, call_due};
use crate::base::due::TimeLimit;
use crate::base::error::{Error, Result};
use crate::base::trace;
use crate::base::types::GateType;
use crate::call::target::Target;
use crate::call::{space, typed};
use crate::session::open_gate::{State, Way};

/// An open gate whose parameter is raw bytes.
///
/// ```no_run
/// use callgate_client::Plugin;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Camera")?;
/// let viewer = plugin.raw_subscriber::<u64>("Viewer.Show")?;
/// let mut frame = viewer.loan(1920 * 1080 * 4)?;
/// frame.bytes().fill(0x7f);
/// let shown = frame.invoke()?;
/// # Ok(())
/// # }
/// ```
pub struct RawSubscriber<R: GateType> {
    shared: Arc<Shared>,
    limit: TimeLimit,
    cancel: Option<CancelToken>,
    result: PhantomData<fn() -> R>,
}

impl<R: GateType> RawSubscriber<R> {
    pub(crate) fn new(shared: Shared) -> RawSubscriber<R> {
        RawSubscriber {
            shared: Arc::new(shared),
            limit: TimeLimit::new(DEFAULT_TIMEOUT),
            cancel: None,
            result: PhantomData,
        }
    }

    /// Returns the same gate with another timeout for each loan and each call, counted from its start. With a zero
    /// timeout a loan takes memory only if some is free at once, and no call is made, as with
    /// [`Subscriber::with_timeout`](crate::Subscriber::with_timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> RawSubscriber<R> {
        RawSubscriber {
            limit: self.limit.with_timeout(timeout),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose loans and calls have their whole timeout even inside a handler; see
    /// [`Subscriber::with_own_deadline`](crate::Subscriber::with_own_deadline).
    #[must_use]
    pub fn with_own_deadline(&self) -> RawSubscriber<R> {
        RawSubscriber {
            limit: self.limit.alone(),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose loans and calls end when the token is cancelled.
    #[must_use]
    pub fn with_cancel(&self, token: &CancelToken) -> RawSubscriber<R> {
        RawSubscriber {
            cancel: Some(token.clone()),
            ..self.clone()
        }
    }

    /// The gate's name.
    pub fn gate(&self) -> &str {
        self.shared.gate.name()
    }

    /// Waits until the gate can be called.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::wait_ready`](crate::Subscriber::wait_ready).
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Lends shared memory for a payload of `len` bytes, up to 64 MiB. Its first content is whatever was there
    /// before.
    ///
    /// # Errors
    ///
    /// `NOT_READY` without a provider; `REQUEST_TOO_LARGE`; `OVERLOADED` over a limit (of this plugin, of the bus,
    /// or of this process's memory cgroup), or if no memory comes free before the deadline; `TIMEOUT` if the
    /// provider has not mapped the memory by then (it may be stopped); `SYSTEM` if the memory cannot be made.
    ///
    /// Payloads to one plugin may take half of this plugin's limit (`extent_mib`), and memory comes in powers of
    /// two. So with the limit of 256 MiB, only two loans of 40 MiB to one plugin fit.
    pub fn loan(&self, len: usize) -> Result<Loan<R>> {
        let attempt = |limit| self.attempt_loan(len, limit);
        let patience = (self.limit, self.cancel.as_ref());
        self.shared
            .with_another_look(CallKind::Function, patience, attempt)
    }

    fn attempt_loan(&self, len: usize, limit: TimeLimit) -> Result<Loan<R>> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let state = shared.gate.state();
        let way = state
            .way_in(Encoding::Archive, (CallKind::Function, gate))
            .map_err(no_way)?;
        let lent = space::loan(&way.link, len, || {
            self.target(way, call_due(limit).unwrap_or(NO_TIME))
        });
        let lent = lent.map_err(|error| nothing_sent(&way.link, error.at_gate(gate.clone())))?;
        Ok(Loan {
            state,
            space: Some(lent),
            subscriber: self.clone(),
        })
    }

    fn target<'a>(&'a self, way: &'a Way, deadline: u64) -> Target<'a> {
        Target {
            to: way.destination(CallKind::Function, deadline),
            by: &self.shared.origin,
            cancel: self.cancel.as_ref(),
        }
    }
}

impl<R: GateType> Clone for RawSubscriber<R> {
    fn clone(&self) -> Self {
        RawSubscriber {
            shared: self.shared.clone(),
            limit: self.limit,
            cancel: self.cancel.clone(),
            result: PhantomData,
        }
    }
}

impl<R: GateType> std::fmt::Debug for RawSubscriber<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawSubscriber")
            .field("gate", &self.gate())
            .finish_non_exhaustive()
    }
}

/// Shared memory on loan. The caller fills it, then passes it on with [`Loan::invoke`] or drops it, which gives it
/// back.
pub struct Loan<R: GateType> {
    /// The state of the gate when the memory was lent.
    state: Guard<Arc<State>>,
    /// `None` once it was passed on.
    space: Option<Space>,
    subscriber: RawSubscriber<R>,
}

impl<R: GateType> Loan<R> {
    /// The payload's bytes, to be filled.
    ///
    /// # Panics
    ///
    /// In a forked child of the process that took the loan: shared memory is not inherited.
    pub fn bytes(&mut self) -> &mut [u8] {
        assert!(
            self.subscriber.shared.state.is_here(),
            "a loan cannot be used in a forked child"
        );
        self.space.as_mut().map_or(&mut [], Space::as_mut_slice)
    }

    /// Calls the gate with the payload, and waits for its result.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke). The memory is shared with the provider that the gate
    /// had when it was lent. If the gate has another provider by now, the old one refuses the call, and the payload
    /// is copied to the new one.
    ///
    /// The memory of a call that was given up comes back when its handler returns.
    pub fn invoke(mut self) -> Result<R> {
        match self.attempt(self.subscriber.limit) {
            Ok(result) => Ok(result),
            Err(error) => self.invoke_again(error),
        }
    }

    /// Calls the gate as it was when the memory was lent. If the provider does not use the memory any more
    /// afterwards, the loan takes it back.
    fn attempt(&mut self, limit: TimeLimit) -> Result<R> {
        let shared = &*self.subscriber.shared;
        let gate = shared.gate.name();
        let way = self
            .state
            .way_in(Encoding::Archive, (CallKind::Function, gate))
            .map_err(no_way)?;
        let _span = trace::call(gate, way.link.peer().name());
        let deadline = call_due(limit).map_err(|error| no_time(error, gate))?;
        let Some(space) = self.space.take() else {
            let text = "the loan was passed on before";
            return Err(Error::new(Code::InvalidArgument, text));
        };
        let target = self.subscriber.target(way, deadline);
        let (outcome, space) = typed::call_loaned(&target, space);
        self.space = space;
        outcome.map_err(|error| shared.missed(&way.link, error, deadline))
    }

    /// Repeats a call that certainly did not run, and again each time another broker ends meanwhile.
    #[cold]
    fn invoke_again(&mut self, mut error: Error) -> Result<R> {
        let subscriber = self.subscriber.clone();
        let (shared, cancel) = (&subscriber.shared, subscriber.cancel.as_ref());
        let mut limit = subscriber.limit;
        loop {
            limit = shared.look_again(error, CallKind::Function, (limit, cancel))?;
            let by = shared.state.membership().id;
            let moved = self.move_over(&subscriber, limit);
            error = match moved.and_then(|()| self.attempt(limit)) {
                Err(error) if shared.is_gone_again(&error, by) => error,
                outcome => return outcome,
            };
        }
    }

    /// Copies the payload to memory that is shared with the gate's current provider, if that is another one.
    fn move_over(&mut self, to: &RawSubscriber<R>, limit: TimeLimit) -> Result<()> {
        let gate = to.shared.gate.name();
        let state = to.shared.gate.state();
        let [now, before] = [&state, &self.state].map(|state| {
            let way = state.way_in(Encoding::Archive, (CallKind::Function, gate));
            way.map(|way| way.link.clone()).map_err(no_way)
        });
        let is_there = Arc::ptr_eq(&now?, &before?);
        match self.space.as_mut().filter(|_| !is_there) {
            None => self.state = state,
            Some(space) => {
                let mut other = to.attempt_loan(space.len(), limit)?;
                other.bytes().copy_from_slice(space.as_mut_slice());
                // `other` now has the old memory, and gives it back when it is dropped.
                std::mem::swap(self, &mut other);
            }
        }
        Ok(())
    }
}

impl<R: GateType> Drop for Loan<R> {
    fn drop(&mut self) {
        // In a forked child nobody has to be told, and the memory is not mapped.
        let is_here = self.subscriber.shared.state.is_here();
        if self.space.take().is_some()
            && is_here
            && let Ok(way) = self.state.way_in(
                Encoding::Archive,
                (CallKind::Function, self.subscriber.shared.gate.name()),
            )
        {
            way.link.freed();
        }
    }
}

impl<R: GateType> std::fmt::Debug for Loan<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loan")
            .field("len", &self.space.as_ref().map(Space::len))
            .finish_non_exhaustive()
    }
}
