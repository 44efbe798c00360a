//! The handle through which a gate is called.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding};

use super::shared::{Shared, missed_here, no_time, no_way};
use crate::base::cancel::CancelToken;
use crate::base::deadline::call_due;
use crate::base::due::TimeLimit;
use crate::base::error::{Error, Result};
use crate::base::trace;
use crate::base::types::{Arguments, GateType};
use crate::call::in_process::{Given, Local, Visit};
use crate::call::{json, typed};
use crate::session::open_gate::State;

/// How long a call may take where nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// An open gate, to be called from any number of threads.
///
/// `A` are the parameters as a tuple, `R` is the result. The gate need not exist when it is
/// opened, and may come and go: the same subscriber calls whoever provides it now.
///
/// ```no_run
/// use callgate_client::Plugin;
/// use std::time::Duration;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Mixer")?;
/// let add = plugin.subscriber::<(u32, u32), u32>("Calculator.Add")?;
/// add.wait_ready(Duration::from_secs(1))?;
/// assert_eq!(add.invoke((2, 3))?, 5);
/// # Ok(())
/// # }
/// ```
pub struct Subscriber<A: Arguments, R: GateType> {
    shared: Arc<Shared>,
    limit: TimeLimit,
    cancel: Option<CancelToken>,
    types: PhantomData<fn(A) -> R>,
}

impl<A: Arguments, R: GateType> Subscriber<A, R> {
    pub(crate) fn new(shared: Shared) -> Subscriber<A, R> {
        Subscriber {
            shared: Arc::new(shared),
            limit: TimeLimit::new(DEFAULT_TIMEOUT),
            cancel: None,
            types: PhantomData,
        }
    }

    /// The same gate with another deadline for each call, counted from its start. With a zero timeout
    /// no call is made: where the gate could be called, it is [`TIMEOUT`](crate::Code::Timeout), and the
    /// handler certainly does not run.
    ///
    /// A call that is made inside a handler ends at the deadline of the call that this handler serves, if that is
    /// earlier; see [`Subscriber::with_own_deadline`]. The error then is `TIMEOUT`, and says so. That the caller of
    /// the handler cancels its call or dies ends nothing that the handler calls.
    ///
    /// Where the provider is in this process, the calling thread runs the handler itself: it waits
    /// for its turn until the deadline at most, but returns when the handler does, with the result,
    /// however late that is. Calls that the handler makes have the deadline of this one, too; where it is not made
    /// inside a handler itself, its time is counted for them from the first of them, or from its start where
    /// the handler takes a [`Context`](crate::Context). So of a handler without one, that was called with 100 ms
    /// and has computed for 200 ms, the first call still has 100 ms.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Subscriber<A, R> {
        Subscriber {
            limit: self.limit.with_timeout(timeout),
            ..self.clone()
        }
    }

    /// The same gate, with calls that have their whole timeout also inside a handler, whatever is left of
    /// the time of the call that it serves: for what has to be done although nobody waits for it any
    /// more, such as giving something back.
    #[must_use]
    pub fn with_own_deadline(&self) -> Subscriber<A, R> {
        Subscriber {
            limit: self.limit.alone(),
            ..self.clone()
        }
    }

    /// The same gate, with calls that end when a token is cancelled. What their handlers call does not end with
    /// them; see [`CancelToken`].
    #[must_use]
    pub fn with_cancel(&self, token: &CancelToken) -> Subscriber<A, R> {
        Subscriber {
            cancel: Some(token.clone()),
            ..self.clone()
        }
    }

    /// The gate's name.
    pub fn gate(&self) -> &str {
        self.shared.gate.name()
    }

    /// The name of the plugin that provides the gate now.
    pub fn owner(&self) -> Option<String> {
        self.shared.gate.state().owner().map(str::to_owned)
    }

    /// Whether the gate has a function now, whatever its types, and whether it may be called or not.
    ///
    /// This asks nobody. Of a provider in this process it is exact: true as soon as
    /// [`Plugin::provide`](crate::Plugin::provide) has returned, and false when the
    /// [`Provider`](crate::Provider) was dropped. Of providers in other processes it is what the broker has
    /// said last, and may be a moment old; a call and [`wait_ready`](Subscriber::wait_ready) are exact there,
    /// too.
    pub fn has_function(&self) -> bool {
        self.shared.has(CallKind::Function)
    }

    /// Whether the gate has an action now; otherwise as [`Subscriber::has_function`].
    pub fn has_action(&self) -> bool {
        self.shared.has(CallKind::Action)
    }

    /// Whether calls go as JSON now, because the provider has other types. It costs some times as much as a call with the
    /// provider's own types, and values that its types cannot hold are errors.
    pub fn is_converted(&self) -> bool {
        self.shared.gate.state().is_converted()
    }

    /// Waits until the gate can be called: its function or its action. Of a gate that may have only one of them,
    /// [`has_function`](Subscriber::has_function) and [`has_action`](Subscriber::has_action) say which. With a
    /// zero timeout it says whether that is so now.
    ///
    /// # Errors
    ///
    /// [`NOT_READY`](crate::Code::NotReady) when the time is up, `TYPE_MISMATCH` or
    /// `LENGTH_MISMATCH` as soon as a provider is there whose types can never be converted, `BROKER_GONE` when there is no
    /// broker that could announce one, at the end of the time. Where there is a provider and no link to it when the
    /// time is up, the error says why: `TIMEOUT`, [`SYSTEM`](crate::Code::System).
    ///
    /// Where the broker has started programs, `NOT_READY` names those that have not connected, or
    /// that have ended. It comes at once, instead of when the time is up, when one has ended or was
    /// refused before it connected and that leaves nobody to wait for: it was started as `NAME`, and
    /// the gate is `NAME.Something` (whatever the case of its letters); or the broker has no socket,
    /// and none of the programs that it started is left. Each such end is told once: the next wait
    /// lasts as long as it is given, and so does one after the program was started again. A plugin
    /// that was on the bus and has ended is waited for: its host may start it again. Of a supervised program that may provide the gate,
    /// `NOT_READY` says how it stands, how it ended last, and what to do; its context is an object with `plugin`, `state` and others.
    ///
    /// A broker that is stopped or overloaded is asked for these reasons half a second at most, so that
    /// the wait may take that much longer than it was given.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Calls the gate's function and waits for its result.
    ///
    /// # Errors
    ///
    /// Any code of a call; [`Error::may_have_run`](crate::Error::may_have_run) says whether the
    /// handler may have run nevertheless.
    ///
    /// Where the call [is converted](Subscriber::is_converted), a value that the other side's types cannot hold is
    /// `TYPE_MISMATCH`, and null for what takes none `VALUE_NULL`; the error's context names the `path` in arguments or
    /// result, and what was `expected` and `found` there. Of arguments the handler did not run, of a result it did.
    ///
    /// Where nobody provides the gate, it is `NOT_READY` at once while there is a broker, with what that knows of why, as of
    /// [`wait_ready`](Subscriber::wait_ready). Of many calls that fail within a second not all have the newest reason. While there is none, the call
    /// waits for the next one until its deadline, and is `BROKER_GONE` then.
    ///
    /// After `TIMEOUT` or `CANCELLED` with that, the handler may have ended, may still run for any time, or may
    /// begin yet, where the provider took the call before the deadline had passed; one that is taken later is
    /// not run. What it returns is dropped. Nothing stops it, but it sees at once that nobody waits
    /// ([`Context::is_cancelled`](crate::Context::is_cancelled)). A second call may run beside it on a pool,
    /// unless the provider has limited the gate to one call at a time
    /// ([`GateOptions::limit`](crate::GateOptions::limit)): then the second one begins when the first has
    /// ended. In one process (a direct call) a handler that has begun is waited for, and what it returns is
    /// the result, also after the deadline.
    pub fn invoke(&self, arguments: A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Owned(Some(arguments)))
    }

    /// As [`Subscriber::invoke`], for arguments that are used again.
    #[inline]
    pub fn invoke_ref(&self, arguments: &A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Borrowed(arguments))
    }

    /// Calls the gate's action and waits until it is done. An action has no result, so that of this subscriber's
    /// types only the parameters matter, and not `R`.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`].
    pub fn invoke_action(&self, arguments: A) -> Result<()> {
        self.call(CallKind::Action, &mut Given::Owned(Some(arguments)))
    }

    #[inline]
    fn call<T: GateType>(&self, kind: CallKind, given: &mut Given<'_, A>) -> Result<T> {
        match self.attempt(self.limit, kind, given) {
            Ok(value) => Ok(value),
            Err(error) => self.call_again(error, kind, given),
        }
    }

    /// Makes a call once more that certainly did not run, if the gate stands otherwise than this plugin
    /// knew; and again as often as another broker ends.
    #[cold]
    #[inline(never)]
    fn call_again<T: GateType>(
        &self,
        mut error: Error,
        kind: CallKind,
        given: &mut Given<'_, A>,
    ) -> Result<T> {
        let mut limit = self.limit;
        loop {
            if given.get().is_none() {
                return Err(error);
            }
            let patience = (limit, self.cancel.as_ref());
            limit = self.shared.look_again(error, kind, patience)?;
            let by = self.shared.state.membership().id;
            error = match self.attempt(limit, kind, given) {
                Err(error) if self.shared.is_gone_again(&error, by) => error,
                outcome => return outcome,
            };
        }
    }

    #[inline(always)]
    fn attempt<T: GateType>(
        &self,
        limit: TimeLimit,
        kind: CallKind,
        given: &mut Given<'_, A>,
    ) -> Result<T> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let state = shared.gate.state();
        let Some(way) = state.way_of_archives(kind) else {
            return self.attempt_converted(&state, limit, kind, given);
        };
        let _span = trace::call(gate, way.link.peer().name());
        if let Some(local) = &way.local
            && let Some(outcome) = self.call_here(local, limit, (kind, Encoding::Archive), given)
        {
            return outcome;
        }
        let deadline = call_due(limit).map_err(|error| no_time(error, gate))?;
        let target = shared.target((way, kind, deadline), self.cancel.as_ref());
        let outcome = match given.get() {
            Some(arguments) => typed::call(&target, arguments),
            None => Err(moved()),
        };
        outcome.map_err(|error| shared.missed(&way.link, error, deadline))
    }

    /// Makes a call whose types differ from the provider's, if it can be made.
    #[cold]
    #[inline(never)]
    fn attempt_converted<T: GateType>(
        &self,
        state: &State,
        limit: TimeLimit,
        kind: CallKind,
        given: &mut Given<'_, A>,
    ) -> Result<T> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let (way, _) = state.way(kind, gate).map_err(no_way)?;
        let _span = trace::call(gate, way.link.peer().name());
        shared.state.membership().memory.status.count_json_call();
        if let Some(local) = &way.local
            && let Some(outcome) = self.call_here(local, limit, (kind, Encoding::Json), given)
        {
            return outcome;
        }
        let deadline = call_due(limit).map_err(|error| no_time(error, gate))?;
        let target = shared.target((way, kind, deadline), self.cancel.as_ref());
        let outcome = match given.get() {
            Some(arguments) => json::call(&target, arguments),
            None => Err(moved()),
        };
        outcome.map_err(|error| shared.missed(&way.link, error, deadline))
    }

    /// Calls a provider in this process, where this thread may run its handlers. Kept out of the way of
    /// other calls.
    #[inline(never)]
    fn call_here<T: GateType>(
        &self,
        local: &Local,
        limit: TimeLimit,
        call: (CallKind, Encoding),
        given: &mut Given<'_, A>,
    ) -> Option<Result<T>> {
        if !local.is_current() {
            // How it stands now decides, too, whether it can be called here.
            self.shared.gate.renew();
            let state = self.shared.gate.state();
            let (kind, encoding) = call;
            // With the types that it has by then, this call may have to be written otherwise: over the link it
            // is refused, and the gate looked at anew.
            let way = state
                .way_in(encoding, (kind, self.shared.gate.name()))
                .ok()?;
            let local = way.local.as_ref()?;
            return self.visit(local, limit, call, given);
        }
        self.visit(local, limit, call, given)
    }

    #[inline]
    fn visit<T: GateType>(
        &self,
        local: &Local,
        limit: TimeLimit,
        call: (CallKind, Encoding),
        given: &mut Given<'_, A>,
    ) -> Option<Result<T>> {
        if !local.is_for_here() {
            return None;
        }
        let name = self.shared.gate.name();
        if let Err(error) = self.shared.state.check_here() {
            return Some(Err(error));
        }
        let visit = Visit {
            local,
            kind: call.0,
            encoding: call.1,
            limit,
            cancel: self.cancel.as_ref(),
            by: &self.shared.origin,
            due: Cell::new(0),
        };
        let outcome = visit.call(given);
        Some(outcome.map_err(|error| missed_here(error.at_gate(name.clone()), visit.due.get())))
    }
}

/// The error for arguments that were moved into a handler.
#[cold]
fn moved() -> Error {
    Error::new(Code::InvalidArgument, "the arguments are gone")
}

impl<A: Arguments, R: GateType> Clone for Subscriber<A, R> {
    fn clone(&self) -> Self {
        Subscriber {
            shared: self.shared.clone(),
            limit: self.limit,
            cancel: self.cancel.clone(),
            types: PhantomData,
        }
    }
}

impl<A: Arguments, R: GateType> std::fmt::Debug for Subscriber<A, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("gate", &self.gate())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
