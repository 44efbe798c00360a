//! The handle through which a gate is called.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;

use crate::base::cancel::CancelToken;
use crate::base::deadline::{call_due, instant_after};
use crate::base::due::TimeLimit;
use crate::base::error::{Error, Result};
use crate::base::trace;
use crate::base::types::{Arguments, GateType};
use crate::call::in_process::{Given, Local, Visit};
use crate::call::target::{Origin, Target};
use crate::call::typed;
use crate::link::Link;
use crate::session::open_gate::{OpenGate, Waited};
use crate::session::plugin_state::PluginState;

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

/// What clones of a subscriber have in common.
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
    /// A call that is made inside a handler ends with the call that this handler serves, if that ends
    /// earlier; see [`Subscriber::with_own_deadline`]. The error then is `TIMEOUT`, and says so.
    ///
    /// Where the provider is in this process, the calling thread runs the handler itself: it waits
    /// for its turn until the deadline at most, but returns when the handler does, with the result,
    /// however late that is. Calls that the handler makes end with this one; where it is not made inside
    /// a handler itself, its time is counted for them from the first of them, or from its start where
    /// the handler takes a [`Context`](crate::Context).
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

    /// The same gate, with calls that end when a token is cancelled.
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

    /// Whether the gate has a function now, whatever its types.
    pub fn has_function(&self) -> bool {
        self.shared.gate.state().has(CallKind::Function)
    }

    /// Whether the gate has an action now, whatever its types.
    pub fn has_action(&self) -> bool {
        self.shared.gate.state().has(CallKind::Action)
    }

    /// Waits until the gate can be called. With a zero timeout it says whether that is so now.
    ///
    /// # Errors
    ///
    /// [`NOT_READY`](crate::Code::NotReady) when the time is up, `TYPE_MISMATCH` or
    /// `LENGTH_MISMATCH` as soon as a provider is there whose types differ, `BROKER_GONE` when
    /// nobody is left who could announce one. Where there is a provider and no link to it when the
    /// time is up, the error says why: `TIMEOUT`, [`SYSTEM`](crate::Code::System).
    ///
    /// Where the broker has started programs, `NOT_READY` names those that have not connected, or
    /// that have ended. It comes at once, instead of when the time is up, when one has ended or was
    /// refused before it connected and that leaves nobody to wait for: it was started as `NAME`, and
    /// the gate is `NAME.Something` (whatever the case of its letters); or the broker has no socket,
    /// and none of the programs that it started is left. Each such end is told once: the next wait
    /// lasts as long as it is given, and so does one after the program was started again. A plugin
    /// that was on the bus and has ended is waited for: its host may start it again.
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
    pub fn invoke(&self, arguments: A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Owned(Some(arguments)))
    }

    /// As [`Subscriber::invoke`], for arguments that are used again.
    #[inline]
    pub fn invoke_ref(&self, arguments: &A) -> Result<R> {
        self.call(CallKind::Function, &mut Given::Borrowed(arguments))
    }

    /// Calls the gate's action and waits until it is done.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`].
    pub fn invoke_action(&self, arguments: A) -> Result<()> {
        self.call(CallKind::Action, &mut Given::Owned(Some(arguments)))
    }

    #[inline]
    fn call<T: GateType>(&self, kind: CallKind, given: &mut Given<'_, A>) -> Result<T> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let state = shared.gate.state();
        let way = state.way(kind, gate)?;
        let _span = trace::call(gate, way.link.peer().name());
        if let Some(local) = &way.local
            && let Some(outcome) = self.call_here(local, kind, given)
        {
            return outcome;
        }
        let deadline = call_due(self.limit).map_err(|error| error.at_gate(gate.clone()))?;
        let target = Target {
            to: way.destination(kind, deadline),
            by: &shared.origin,
            cancel: self.cancel.as_ref(),
        };
        let outcome = match given.get() {
            Some(arguments) => typed::call(&target, arguments),
            None => Err(Error::new(Code::InvalidArgument, "the arguments are gone")),
        };
        outcome.map_err(|error| shared.failed(&way.link, error))
    }

    /// Calls a provider in this process, where this thread may run its handlers. Kept out of the way of
    /// other calls.
    #[inline(never)]
    fn call_here<T: GateType>(
        &self,
        local: &Local,
        kind: CallKind,
        given: &mut Given<'_, A>,
    ) -> Option<Result<T>> {
        if !local.is_current() {
            // How it stands now decides, too, whether it can be called here.
            self.shared.gate.renew();
            let state = self.shared.gate.state();
            let local = state.way.as_ref()?.local.as_ref()?;
            return self.visit(local, kind, given);
        }
        self.visit(local, kind, given)
    }

    #[inline]
    fn visit<T: GateType>(
        &self,
        local: &Local,
        kind: CallKind,
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
            kind,
            limit: self.limit,
            cancel: self.cancel.as_ref(),
            by: &self.shared.origin,
        };
        let outcome = visit.call(given);
        Some(outcome.map_err(|error| error.at_gate(name.clone())))
    }
}

/// A wait that is shorter is a look, and is not worth a question to the broker.
const WORTH_ASKING: Duration = Duration::from_millis(10);
/// How long the broker may take to say why nobody has come.
const EXPLANATION: Duration = Duration::from_millis(500);

impl Shared {
    /// Waits until the gate can be called. Where nobody provides it, the broker is asked why.
    pub(crate) fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let until = instant_after(timeout);
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

    /// Adds to the error of a wait what the broker knows of why nobody came.
    fn explained(&self, error: Error, timeout: Duration) -> Error {
        let is_absent = error.code() == Code::NotReady && self.gate.state().owner().is_none();
        if !is_absent || timeout < WORTH_ASKING {
            return error;
        }
        match self.why_absent() {
            Some(why) => self.not_ready(error.message(), &why),
            None => error,
        }
    }

    /// What the broker knows of programs that it started and that were to provide the gate.
    fn why_absent(&self) -> Option<Error> {
        let gate = self.gate.name().to_string();
        let until = instant_after(EXPLANATION);
        let answer = self.state.connection.request_until(until, |request| {
            GateToBroker::WhyAbsent { request, gate }.into()
        });
        let is_known = |why: &Error| matches!(why.code(), Code::NotReady | Code::ProviderGone);
        answer.err().filter(is_known)
    }

    fn not_ready(&self, what: &str, why: &Error) -> Error {
        let text = format!("{what}: {}", why.message());
        Error::new(Code::NotReady, text).at_gate(self.gate.name().clone())
    }

    /// Names the gate in a call's error, lets a link go that a call has found closed, and tells
    /// the broker of a provider that broke the protocol, so that both sides do.
    #[cold]
    pub(crate) fn failed(&self, link: &Link, error: Error) -> Error {
        let is_broken = error.code() == Code::Protocol && link.is_gone();
        // Whoever noticed first has told the broker.
        if is_broken && self.state.link(link.end()).is_some() {
            self.state.break_link(link.end(), &error);
        } else if error.code() == Code::ProviderGone && link.is_gone() {
            // Without a broker nobody else says so while the provider's process lives.
            self.state.end_link(link.end(), &error);
        }
        error.at_gate(self.gate.name().clone())
    }
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
