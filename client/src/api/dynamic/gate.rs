//! Open gates that are called without types known at compile time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding, Signature};
use serde_json::Value;

use super::sent::{Sent, value_of};
use crate::api::shared::{Shared, no_time, no_way};
use crate::api::subscriber::DEFAULT_TIMEOUT;
use crate::base::archive::MAX_LEN;
use crate::base::buffers::Scratch;
use crate::base::bytes::Bytes;
use crate::base::cancel::CancelToken;
use crate::base::deadline::call_due;
use crate::base::due::TimeLimit;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::trace;
use crate::call::sent::{Completion, Outbound};
use crate::call::target::Target;
use crate::call::untyped;
use crate::session::open_gate::{State, Way};

/// An open gate, called with archives or with JSON, as was chosen when it was opened. Any number of threads may
/// call it.
///
/// Requests and results are bytes: an archive of the parameters, or the text of a JSON array of them.
/// [`Gate::call_values`] writes such a text from values.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    kind: CallKind,
    encoding: Encoding,
    limit: TimeLimit,
    cancel: Option<CancelToken>,
}

impl Gate {
    pub(super) fn new(shared: Shared, kind: CallKind, encoding: Encoding) -> Gate {
        Gate {
            shared: Arc::new(shared),
            kind,
            encoding,
            limit: TimeLimit::new(DEFAULT_TIMEOUT),
            cancel: None,
        }
    }

    /// Returns the same gate, whose action is called instead of its function.
    #[must_use]
    pub fn action(&self) -> Gate {
        Gate {
            kind: CallKind::Action,
            ..self.clone()
        }
    }

    /// Returns the same gate with another timeout for each call, counted from its start; see
    /// [`Subscriber::with_timeout`](crate::Subscriber::with_timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Gate {
        Gate {
            limit: self.limit.with_timeout(timeout),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose calls have their whole timeout even inside a handler; see
    /// [`Subscriber::with_own_deadline`](crate::Subscriber::with_own_deadline). Calls that are [sent](Gate::send)
    /// always have.
    #[must_use]
    pub fn with_own_deadline(&self) -> Gate {
        Gate {
            limit: self.limit.alone(),
            ..self.clone()
        }
    }

    /// Returns the same gate, whose calls end when the token is cancelled; see [`CancelToken`]. A call that is
    /// [sent](Gate::send) looks at the token only before it is sent; dropping its future gives it up.
    #[must_use]
    pub fn with_cancel(&self, token: &CancelToken) -> Gate {
        Gate {
            cancel: Some(token.clone()),
            ..self.clone()
        }
    }

    /// The gate's name.
    pub fn name(&self) -> &str {
        self.shared.gate.name()
    }

    /// The name of the plugin that provides the gate now; `None` if there is none.
    pub fn owner(&self) -> Option<String> {
        self.shared.gate.state().owner().map(str::to_owned)
    }

    /// Whether a plugin provides the gate's function now.
    pub fn has_function(&self) -> bool {
        self.shared.has(CallKind::Function)
    }

    /// Whether a plugin provides the gate's action now.
    pub fn has_action(&self) -> bool {
        self.shared.has(CallKind::Action)
    }

    /// The encoding in which the gate is called.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The signature of the function, or of the action (see [`Gate::action`]). If the gate was opened with a
    /// signature, it is that one; otherwise the provider's.
    ///
    /// # Errors
    ///
    /// `NOT_READY` if nobody provides the gate now; otherwise the reason why it cannot be called.
    pub fn signature(&self) -> Result<Arc<Signature>> {
        let (gate, kind) = (&self.shared.gate, self.kind);
        gate.state()
            .signature((gate.wanted(kind), kind), gate.name())
    }

    /// Waits until the gate can be called.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::wait_ready`](crate::Subscriber::wait_ready).
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Calls the gate and waits for its result, which is empty for an action.
    ///
    /// The call always passes through shared memory, even to a provider in this process.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke). In JSON also, before anything is sent:
    /// `INVALID_ARGUMENT` for a text that is not JSON; `TYPE_MISMATCH` if it is not an array or nests more than 64
    /// deep; `LENGTH_MISMATCH` if the provider's signature has another number of parameters. A value that does not
    /// fit the provider's types is refused by the provider, with its path (`arguments[1].gain`) in message and
    /// context.
    pub fn call(&self, request: &[u8]) -> Result<Bytes> {
        let given = self.given(request)?;
        self.call_given(request, given)
    }

    /// Calls a gate that was opened for JSON; each value is one parameter. The result of an action is null.
    ///
    /// # Errors
    ///
    /// As [`Gate::call`]; `INVALID_ARGUMENT` for a gate that is called with archives.
    pub fn call_values(&self, values: &[Value]) -> Result<Value> {
        let mut text = Scratch::take();
        self.write(values, &mut text)?;
        let result = self.call_given(&text, Some(values.len()))?;
        value_of(&result).map_err(|error| error.at_gate(self.shared.gate.name().clone()))
    }

    /// Writes values as JSON.
    fn write(&self, values: &[Value], text: &mut Scratch) -> Result<()> {
        let written = match self.encoding {
            Encoding::Json => json::write_values(values, text, None, MAX_LEN),
            Encoding::Archive => Err(Error::new(
                Code::InvalidArgument,
                "the gate was opened to be called with archives, not with JSON",
            )),
        };
        written.map_err(|error| error.at_gate(self.shared.gate.name().clone()))
    }

    /// The number of parameters in a request; `None` for archives, where it cannot be seen.
    fn given(&self, request: &[u8]) -> Result<Option<usize>> {
        if self.encoding == Encoding::Archive {
            return Ok(None);
        }
        let (_, count) = json::check_arguments(request).map_err(|error| {
            let error = match error.code() {
                // The text is the caller's own, so no peer is to blame.
                Code::Protocol => Error::new(Code::InvalidArgument, error.message()),
                _ => error,
            };
            error.at_gate(self.shared.gate.name().clone())
        })?;
        Ok(Some(count))
    }

    fn call_given(&self, request: &[u8], given: Option<usize>) -> Result<Bytes> {
        let shared = &*self.shared;
        let attempt = |limit| self.attempt((request, given), limit);
        shared.with_another_look(self.kind, (self.limit, self.cancel.as_ref()), attempt)
    }

    fn attempt(&self, (request, given): (&[u8], Option<usize>), limit: TimeLimit) -> Result<Bytes> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let state = shared.gate.state();
        let way = self.way_in(&state).map_err(no_way)?;
        self.check_number(&state, given)?;
        let _span = trace::call(gate, way.link.peer().name());
        let deadline = call_due(limit).map_err(|error| no_time(error, gate))?;
        let target = Target {
            to: way.destination(self.kind, deadline),
            by: &shared.origin,
            cancel: self.cancel.as_ref(),
        };
        let outcome = untyped::call(&target, self.encoding, request);
        outcome.map_err(|error| shared.missed(&way.link, error, deadline))
    }

    fn way_in<'s>(&self, state: &'s State) -> Result<&'s Way> {
        state.way_in(self.encoding, (self.kind, self.shared.gate.name()))
    }

    /// Refuses a call whose number of parameters differs from that in the provider's signature.
    fn check_number(&self, state: &State, given: Option<usize>) -> Result<()> {
        let signature = state.described(self.kind);
        let takes = signature.and_then(|signature| signature.params.as_ref());
        match (takes.map(Vec::len), given) {
            (Some(takes), Some(given)) if takes != given => {
                Err(json::wrong_number(takes, given).at_gate(self.shared.gate.name().clone()))
            }
            _ => Ok(()),
        }
    }

    /// Sends a call and does not wait: returns a future of its result, for any executor; [`Sent::wait`] waits for
    /// it on a thread. Dropping the future gives the call up.
    ///
    /// One link carries at most 32 calls of a gate at a time. If no slot is free, the call waits in this process's
    /// memory, behind those that were sent to the same gate before, until its deadline, which is counted from this
    /// method's start. The call begins a chain of its own and has its whole timeout, also inside a handler: it may
    /// outlive that handler.
    ///
    /// If, as far as this plugin knows, nobody provides the gate, or if the provider refuses the call and it
    /// certainly did not run, the call waits until the broker says how the gate stands; if that has changed, it is
    /// sent once more. No thread waits for this.
    ///
    /// Wakers are called on the one thread that looks after all sent calls of the plugin, or of all plugins of its
    /// group: a waker that takes long delays the others. Closing the plugin waits for that thread; in a group only
    /// closing the last plugin does.
    ///
    /// # Errors
    ///
    /// Whatever is known before the call is sent: errors in its JSON, as [`Gate::call`] says; no time is left; the
    /// token is cancelled; the plugin has closed; its broker has ended and the gate is absent; or all 63 bells of
    /// the plugin, or of its group, are in use when the first call is sent (`OVERLOADED`). All other errors come
    /// from the future: `NOT_READY`; `OVERLOADED` if the call found no slot until its deadline, and `TIMEOUT` if
    /// its provider did not map the memory for it, both of which certainly did not run; `TIMEOUT` if the call was
    /// sent and not answered.
    pub fn send(&self, request: &[u8]) -> Result<Sent> {
        let given = self.given(request)?;
        self.send_given(request, given)
    }

    /// As [`Gate::send`], with values, for a gate that was opened for JSON. The result is a JSON text;
    /// [`Sent::wait_value`] reads it as a value.
    ///
    /// # Errors
    ///
    /// As [`Gate::send`]; `INVALID_ARGUMENT` for a gate that is called with archives.
    pub fn send_values(&self, values: &[Value]) -> Result<Sent> {
        let mut text = Scratch::take();
        self.write(values, &mut text)?;
        self.send_given(&text, Some(values.len()))
    }

    fn send_given(&self, request: &[u8], given: Option<usize>) -> Result<Sent> {
        let shared = &self.shared;
        let gate = shared.gate.name();
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            let error = Error::new(Code::Cancelled, "the call was given up before it was sent");
            return Err(error.at_gate(gate.clone()));
        }
        // The call may outlive the handler that sends it, so it does not take that handler's deadline.
        let deadline = call_due(self.limit.alone());
        let deadline = deadline.map_err(|error| error.at_gate(gate.clone()))?;
        let bytes = untyped::outbound(request).map_err(|error| error.at_gate(gate.clone()))?;
        let standing: Weak<Shared> = Arc::downgrade(shared);
        let mut call = Outbound {
            index: 0,
            kind: self.kind,
            encoding: self.encoding,
            deadline,
            bytes,
            gate: Some(standing),
        };
        let (completion, sender) = (Arc::<Completion>::default(), &shared.state.sent);
        let state = shared.gate.state();
        let number = match self.way_in(&state) {
            Ok(way) => {
                self.check_number(&state, given)?;
                call.index = way.index;
                let sent = sender.send(&way.link, call, completion.clone());
                sent.map_err(|error| shared.failed(&way.link, error))?
            }
            // Any other error may be outdated: the broker is asked how the gate stands.
            Err(error) if shared.is_final(&error) => return Err(error),
            Err(error) => sender.send_absent(call, completion.clone(), error)?,
        };
        Ok(Sent {
            shared: shared.clone(),
            number,
            deadline,
            completion: Some(completion),
            follower: None,
        })
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
