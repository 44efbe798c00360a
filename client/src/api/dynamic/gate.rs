//! An open gate that is called without types.

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

/// An open gate, called with archives or with JSON as was said when it was opened, from any number of threads.
///
/// What is said of requests and results here is bytes: an archive of the parameters, or the text of a JSON array
/// of them, which [`Gate::call_values`] makes of values.
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

    /// The same gate, whose action is called and not its function.
    #[must_use]
    pub fn action(&self) -> Gate {
        Gate {
            kind: CallKind::Action,
            ..self.clone()
        }
    }

    /// The same gate with another deadline for each call, counted from its start; see
    /// [`Subscriber::with_timeout`](crate::Subscriber::with_timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Gate {
        Gate {
            limit: self.limit.with_timeout(timeout),
            ..self.clone()
        }
    }

    /// The same gate, with calls that have their whole timeout also inside a handler; see
    /// [`Subscriber::with_own_deadline`](crate::Subscriber::with_own_deadline). Those that are
    /// [sent](Gate::send) always have.
    #[must_use]
    pub fn with_own_deadline(&self) -> Gate {
        Gate {
            limit: self.limit.alone(),
            ..self.clone()
        }
    }

    /// The same gate, with calls that end when a token is cancelled; see [`CancelToken`]. Those that were
    /// [sent](Gate::send) end when they are dropped, and look at the token only before they are sent.
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

    /// The name of the plugin that provides the gate now.
    pub fn owner(&self) -> Option<String> {
        self.shared.gate.state().owner().map(str::to_owned)
    }

    /// Whether the gate has a function now.
    pub fn has_function(&self) -> bool {
        self.shared.has(CallKind::Function)
    }

    /// Whether the gate has an action now.
    pub fn has_action(&self) -> bool {
        self.shared.has(CallKind::Action)
    }

    /// How its calls are written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What the function takes and gives, or what the action takes ([`Gate::action`]): as its provider says, where the gate
    /// was opened without a signature, and else as it was opened.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where nobody provides it now; why it cannot be called.
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

    /// Calls the gate with its parameters, and waits for its result; empty for an action.
    ///
    /// The call always passes through shared memory, also to a provider in this process.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke). In JSON also, before anything is sent: `INVALID_ARGUMENT` for
    /// what is no JSON, `TYPE_MISMATCH` for what is no array or nests more than 64 deep, `LENGTH_MISMATCH` where the
    /// provider's signature has another number of parameters. What the provider cannot take it refuses, with the
    /// path of the value (`arguments[1].gain`) in message and context.
    pub fn call(&self, request: &[u8]) -> Result<Bytes> {
        let given = self.given(request)?;
        self.call_given(request, given)
    }

    /// Calls a gate that was opened for JSON with values, one a parameter; null is the result of an action.
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

    /// How many parameters a request has, where that can be seen.
    fn given(&self, request: &[u8]) -> Result<Option<usize>> {
        if self.encoding == Encoding::Archive {
            return Ok(None);
        }
        let (_, count) = json::check_arguments(request).map_err(|error| {
            let error = match error.code() {
                // It is not a peer's fault.
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

    /// Refuses a call with another number of parameters than its provider has said to take.
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

    /// Sends a call and does not wait: what is given back is a future of its result, for any executor,
    /// which can also be [waited](Sent::wait) for. Dropping it gives the call up.
    ///
    /// One link carries at most 32 calls of a gate at a time. Where it has no slot for it, the call waits in this process's memory, behind those that
    /// were sent to the same gate before; until its deadline, which is counted from here. It begins a chain
    /// of its own, also inside a handler, and its deadline is its own there, too: it may outlive that
    /// handler.
    ///
    /// Where nobody provides the gate as far as this plugin knows, or the call is refused and certainly did not run,
    /// it waits for the broker to say how the gate stands, and is sent once more if that is otherwise. No
    /// thread waits for this.
    ///
    /// Wakers are called on the one thread that looks after all calls of the plugin, or of all plugins of
    /// its group: one that takes its time keeps others from being told. Closing the plugin waits for it, in
    /// a group only closing the last one.
    ///
    /// # Errors
    ///
    /// Whatever is known before it is sent: what is wrong with its JSON, as [`Gate::call`] says; no time is left, the token is cancelled, the plugin has closed, its
    /// broker has ended and the gate is absent. The future tells of everything else: `NOT_READY`; a call that
    /// found no slot until its deadline is `OVERLOADED` and certainly did not run, one that was sent and not
    /// answered is `TIMEOUT`, as is one whose provider did not map the memory for it, which certainly did not run
    /// either. Also `OVERLOADED` where all 63 bells of the
    /// plugin, or of its group, are in use when the first call is sent.
    pub fn send(&self, request: &[u8]) -> Result<Sent> {
        let given = self.given(request)?;
        self.send_given(request, given)
    }

    /// The same with values, for a gate that was opened for JSON. Its result is a JSON text, of which
    /// [`Sent::wait_value`] makes a value.
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
        // It may outlive the handler that sends it.
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
            // Otherwise the broker may know better.
            Err(error) if shared.is_final(&error) => return Err(error),
            Err(error) => sender.send_absent(call, completion.clone(), error)?,
        };
        Ok(Sent {
            shared: shared.clone(),
            number,
            deadline,
            completion: Some(completion),
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
