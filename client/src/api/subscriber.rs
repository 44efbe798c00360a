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

/// How long a call may take unless [`Subscriber::with_timeout`] says otherwise: 5 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// An open gate. Any number of threads may call it.
///
/// `A` is the tuple of the parameters, `R` the result. The gate need not exist when it is opened, and providers may
/// come and go: each call goes to the plugin that provides the gate at that moment.
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

    /// Returns the same gate with another timeout for each call, counted from the call's start. With a zero timeout
    /// no call is made: if the gate could be called, the error is [`TIMEOUT`](crate::Code::Timeout), and the
    /// handler certainly does not run.
    ///
    /// A call that is made inside a handler also ends at the deadline of the call that this handler serves, if that
    /// is earlier; the error then is `TIMEOUT`, and says so. [`Subscriber::with_own_deadline`] turns this off. If
    /// the caller of the handler cancels its call or dies, the calls that the handler makes go on.
    ///
    /// If the provider is in this process, the calling thread runs the handler itself. It waits for its turn until
    /// the deadline at most; once the handler has begun, the call returns when the handler does, with its result,
    /// even after the deadline. Calls that the handler makes inherit this call's deadline too. If this call is not
    /// itself made inside a handler, the deadline for those calls is computed when the handler makes its first one,
    /// or at the start if the handler takes a [`Context`](crate::Context). So when a handler without a `Context`
    /// was called with 100 ms and has computed for 200 ms, its first call still has 100 ms.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Subscriber<A, R> {
        Subscriber {
            limit: self.limit.with_timeout(timeout),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose calls have their whole timeout even inside a handler, however little time is
    /// left for the call that the handler serves. Meant for work that has to be done even if nobody waits for it
    /// any more, such as giving something back.
    #[must_use]
    pub fn with_own_deadline(&self) -> Subscriber<A, R> {
        Subscriber {
            limit: self.limit.alone(),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose calls end when the token is cancelled. Calls that their handlers make do not
    /// end with them; see [`CancelToken`].
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

    /// The name of the plugin that provides the gate now; `None` if there is none.
    pub fn owner(&self) -> Option<String> {
        self.shared.gate.state().owner().map(str::to_owned)
    }

    /// Whether a plugin provides the gate's function now, whatever its types, and even if this plugin may not call
    /// it.
    ///
    /// This sends nothing. For a provider in this process the answer is exact: true as soon as
    /// [`Plugin::provide`](crate::Plugin::provide) has returned, and false once the [`Provider`](crate::Provider)
    /// was dropped. For a provider in another process it is the last news from the broker, which may be a moment
    /// old. A call and [`wait_ready`](Subscriber::wait_ready) are exact there too.
    pub fn has_function(&self) -> bool {
        self.shared.has(CallKind::Function)
    }

    /// Whether a plugin provides the gate's action now; otherwise as [`Subscriber::has_function`].
    pub fn has_action(&self) -> bool {
        self.shared.has(CallKind::Action)
    }

    /// Whether calls travel as JSON now, because the provider's types differ. Such a call costs several times as
    /// much as one with the same types, and values that the provider's types cannot hold are errors.
    pub fn is_converted(&self) -> bool {
        self.shared.gate.state().is_converted()
    }

    /// Waits until the gate can be called: its function or its action. If the gate may have only one of them,
    /// [`has_function`](Subscriber::has_function) and [`has_action`](Subscriber::has_action) tell which. With a
    /// zero timeout it does not wait, and tells whether the gate can be called now.
    ///
    /// # Errors
    ///
    /// [`NOT_READY`](crate::Code::NotReady) when the time is up. `TYPE_MISMATCH` or `LENGTH_MISMATCH` as soon as
    /// there is a provider whose types cannot be converted. `BROKER_GONE` when the time is up and there is no
    /// broker that could announce a provider. If there is a provider but no link to it when the time is up, the
    /// error says why: `TIMEOUT` or [`SYSTEM`](crate::Code::System).
    ///
    /// If the broker has started programs, `NOT_READY` names those that have not connected or have ended. It comes
    /// before the time is up if one of them ended, or was refused, before it connected, and no plugin is left to
    /// wait for. That is so if that program was started as `NAME` and the gate is called `NAME.Something` (in any
    /// case of letters); or if the broker has no socket and none of the programs that it started is left. Each such
    /// end is reported once: the next wait lasts as long as its timeout, and so does a wait after the program was
    /// started again. If a plugin was on the bus and has ended, the wait goes on: its host may start it again.
    /// For a supervised program that may provide the gate, `NOT_READY` says which state it is in, how it ended last,
    /// and what to do; the error's context is then an object with `plugin`, `state` and others.
    ///
    /// The plugin waits half a second at most for the broker to name these reasons; so if the broker is stopped or
    /// overloaded, the wait may take that much longer than its timeout.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Calls the gate's function and waits for its result.
    ///
    /// # Errors
    ///
    /// Any code of a call; [`Error::may_have_run`](crate::Error::may_have_run) says whether the handler may have
    /// run nevertheless.
    ///
    /// If the call [is converted](Subscriber::is_converted), a value that the other side's types cannot hold is
    /// `TYPE_MISMATCH`, and a null where none is allowed is `VALUE_NULL`. The error's context names the `path` in
    /// the arguments or the result, and what was `expected` and `found` there. If the value was in the arguments,
    /// the handler did not run; if it was in the result, the handler did run.
    ///
    /// If nobody provides the gate, the error is `NOT_READY` at once while there is a broker, with the reason that the
    /// broker knows, as for [`wait_ready`](Subscriber::wait_ready); of many calls that fail within a second not all
    /// have the newest reason. While there is no broker, the call waits for the next one until its deadline, and then
    /// is `BROKER_GONE`.
    ///
    /// After `TIMEOUT` or `CANCELLED` with `may_have_run`, the handler may have ended, may still run for any time,
    /// or may begin later, if the provider took the call before its deadline; a call that it takes after the
    /// deadline is not run. The handler's result is dropped. Nothing stops the handler, but it can see at once that
    /// nobody waits ([`Context::is_cancelled`](crate::Context::is_cancelled)). In a pool, a second call may run
    /// beside it, unless the provider has limited the gate to one call at a time
    /// ([`GateOptions::limit`](crate::GateOptions::limit)): then the second one begins when the first has ended. In
    /// one process (a direct call), the caller waits for a handler that has begun, and gets its result even after
    /// the deadline.
    pub fn invoke(&self, arguments: A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Owned(Some(arguments)))
    }

    /// As [`Subscriber::invoke`], with borrowed arguments, which the caller can use again.
    #[inline]
    pub fn invoke_ref(&self, arguments: &A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Borrowed(arguments))
    }

    /// Calls the gate's action and waits until the handler has returned. An action has no result: of this
    /// subscriber's types only the parameters matter, not `R`.
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

    /// Repeats a call that certainly did not run, if the state of the gate has changed from what this plugin knew;
    /// and again each time another broker ends meanwhile.
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

    /// Makes a call as JSON, because the provider's types differ; fails if they cannot be converted.
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

    /// Calls a provider in this process on this thread, if this thread may run its handlers; otherwise returns
    /// `None`. Not inlined, to keep it out of the code of other calls.
    #[inline(never)]
    fn call_here<T: GateType>(
        &self,
        local: &Local,
        limit: TimeLimit,
        call: (CallKind, Encoding),
        given: &mut Given<'_, A>,
    ) -> Option<Result<T>> {
        if !local.is_current() {
            // The gate has changed; whether it can be called directly is decided by its new state.
            self.shared.gate.renew();
            let state = self.shared.gate.state();
            let (kind, encoding) = call;
            // The provider's new types may need the other encoding. Then `None` sends this call over the link,
            // where the provider refuses it, and the caller looks at the gate again.
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
