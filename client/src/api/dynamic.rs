//! Gates of bytes, for those who build on Callgate: runtimes, bindings to other languages, bridges, interfaces for
//! `async` code.
//!
//! What travels through a gate is an archive of its parameters, as its [`Signature`] says. Here it is
//! given and taken as bytes that nobody looks into; who uses this answers for them. A peer with types
//! checks every archive that it reads, so bytes that are none fail that call (`PROTOCOL`, whoever made
//! them) and nothing else.
//!
//! An archive is one of rkyv 0.8 in its default format: little-endian, relative pointers of 32 bits, the
//! root at the end of the bytes, the first byte aligned to 16. The root of a request is the *tuple* of
//! the parameters, also of a single one; that of an answer is the result. [`encode`] makes one of
//! gate types and [`decode`] reads one:
//!
//! ```
//! use callgate_client::{dynamic, gate_type};
//!
//! #[gate_type]
//! #[derive(Debug, PartialEq)]
//! struct Track {
//!     title: String,
//!     gain: f32,
//! }
//!
//! # fn main() -> callgate_client::Result<()> {
//! let track = || Track { title: "Intro".to_owned(), gain: 0.5 };
//! let request = dynamic::encode(&(track(), 7_u32))?;    // for a gate with two parameters
//! let (first, second) = dynamic::decode::<(Track, u32)>(&request)?;
//! assert_eq!((first, second), (track(), 7));
//! # Ok(())
//! # }
//! ```
//!
//! What has no types in Rust says them by a [`Signature`] that it makes of [`Schema`]s.
//!
//! Calls need not be waited for: [`Gate::send`] gives a future, and one thread of the plugin looks after
//! all that are under way. Handlers need not answer when they return: [`provide_later`] hands them a
//! [`Responder`].
//!
//! ```no_run
//! use callgate_client::{Plugin, dynamic, signature_of};
//!
//! # fn main() -> callgate_client::Result<()> {
//! let plugin = Plugin::connect("Bridge")?;
//! let signature = signature_of::<(u32,), u32>();
//! let (jobs, worker) = std::sync::mpsc::channel();
//! let jobs = std::sync::Mutex::new(jobs);
//! let _echo = dynamic::provide_later(&plugin, "Bridge.Echo", &signature, move |_, request, responder| {
//!     // The handler returns at once, and the plugin's turn is free.
//!     let jobs = jobs.lock().expect("no handler panics");
//!     let _ = jobs.send((request.to_vec(), responder));
//! })?;
//! std::thread::spawn(move || {
//!     for (request, responder) in worker {
//!         let _ = responder.reply(&request);
//!     }
//! });
//! let echo = dynamic::open(&plugin, "Bridge.Echo", &signature)?;
//! let calls: Vec<_> = (0..1000_u32).map(|n| echo.send(&n.to_le_bytes())).collect();
//! for call in calls {
//!     call?.wait()?;
//! }
//! # Ok(())
//! # }
//! ```

mod sent;

use std::sync::{Arc, Weak};
use std::time::Duration;

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings};

use super::plugin::Plugin;
use super::provider::Provider;
use super::shared::{Shared, no_time, no_way};
use super::subscriber::DEFAULT_TIMEOUT;
use crate::base::archive::{self, ALIGNMENT, MAX_LEN};
use crate::base::buffers::{Scratch, no_memory};
use crate::base::cancel::CancelToken;
use crate::base::deadline::call_due;
use crate::base::due::TimeLimit;
use crate::base::error::{Error, Result};
use crate::base::trace;
use crate::base::types::{Failed, GateType};
use crate::call::sent::{Completion, Outbound};
use crate::call::target::Target;
use crate::call::untyped;
use crate::handler::context::Context;
use crate::handler::{HandlerError, untyped as handlers};
use crate::link::extents::too_large;

pub use crate::base::bytes::Bytes;
pub use crate::base::types::json_schema;
pub use crate::handler::responder::Responder;
pub use callgate_layout::schema::{Body, Field, Primitive, SchemaError, TypeDef, Variant};
pub use callgate_layout::{Encoding, Fingerprint, Schema, Signature};
pub use sent::Sent;

/// Archives a value: a tuple of parameters, or a result.
///
/// # Errors
///
/// `REQUEST_TOO_LARGE` beyond 64 MiB, [`SYSTEM`](Code::System) without memory.
pub fn encode<T: GateType>(value: &T) -> Result<Bytes> {
    let mut buffer = Scratch::take();
    archive::serialize_vec(value, &mut buffer, None, MAX_LEN).map_err(|why| match why {
        Failed::OutOfMemory(why) => no_memory(why, "archive"),
        Failed::Unfit(why) => why.error("archive's values"),
        _ => too_large(Code::RequestTooLarge, "archive's bytes", MAX_LEN),
    })?;
    Ok(Bytes::copy(&buffer))
}

/// Checks an archive, however hostile, and makes a value of it. Where the first byte is not aligned to 16,
/// the bytes are copied before.
///
/// # Errors
///
/// `PROTOCOL` for bytes that are no archive of a `T`, or one that is nested more than 64 deep.
pub fn decode<T: GateType>(bytes: &[u8]) -> Result<T> {
    let copy;
    let bytes = match bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        true => bytes,
        false => {
            copy = Bytes::copy(bytes);
            &copy
        }
    };
    archive::deserialize::<T>(archive::access::<T>(bytes)?)
}

/// Provides a gate whose handler takes and gives bytes. A signature with a result makes it a function,
/// one without an action. The request's first byte is aligned to 16.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(
    plugin: &Plugin,
    gate: &str,
    signature: &Signature,
    handler: impl Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
) -> Result<Provider> {
    let handler = handlers::untyped(handler);
    plugin.offer(
        gate,
        kind_of(signature),
        (signature, Encodings::ARCHIVE),
        handler,
    )
}

/// Provides a gate whose handler answers later, through a [`Responder`], from any thread.
///
/// A call that waits for its answer holds neither the plugin's turn nor a thread, only its slot on the
/// link to its caller. One gate has 32 of a link's 64 slots: a handler that keeps so many responders of one
/// caller gets no further call of that caller until it answers, and the caller's other calls wait or
/// fail at their deadlines. What the handler wants to keep of its [`Context`], such as the caller's
/// name, it copies.
///
/// The handler runs where the plugin's [`Dispatch`](crate::Dispatch) says, also for callers of the same process:
/// such calls pass through shared memory.
///
/// *What another thread calls for a kept [`Responder`]* belongs to no chain. It has its own deadline and not that of the
/// call being served: say `with_timeout(responder.remaining())`. Where it leads back to a plugin that waits for this very
/// answer, it is not let in there, and both wait until a deadline; no `DEADLOCK` tells of it. Against that helps
/// to declare the gate that is called back [re-entrant](crate::GateOptions::reentrant).
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide_later(
    plugin: &Plugin,
    gate: &str,
    signature: &Signature,
    handler: impl Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
) -> Result<Provider> {
    let handler = handlers::later(handler);
    plugin.offer(
        gate,
        kind_of(signature),
        (signature, Encodings::ARCHIVE),
        handler,
    )
}

/// Opens a gate to call its function, where the signature has a result, or else its action.
///
/// # Errors
///
/// As [`Plugin::subscriber`].
pub fn open(plugin: &Plugin, gate: &str, signature: &Signature) -> Result<Gate> {
    let with = |result| Signature {
        result,
        ..signature.clone()
    };
    let result = signature.result.clone().unwrap_or(Schema::Unit);
    let shared = plugin.open(gate, [with(Some(result)), with(None)], Encodings::ARCHIVE)?;
    Ok(Gate {
        shared: Arc::new(shared),
        kind: kind_of(signature),
        limit: TimeLimit::new(DEFAULT_TIMEOUT),
        cancel: None,
    })
}

fn kind_of(signature: &Signature) -> CallKind {
    match signature.result {
        Some(_) => CallKind::Function,
        None => CallKind::Action,
    }
}

/// An open gate of bytes, to be called from any number of threads.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    kind: CallKind,
    limit: TimeLimit,
    cancel: Option<CancelToken>,
}

impl Gate {
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

    /// Waits until the gate can be called.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::wait_ready`](crate::Subscriber::wait_ready).
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Calls the gate with the archive of its parameters, and waits for that of its result; empty for
    /// an action.
    ///
    /// The call always passes through shared memory, also to a provider in this process.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke).
    pub fn call(&self, request: &[u8]) -> Result<Bytes> {
        let shared = &*self.shared;
        let attempt = |limit| self.attempt(request, limit);
        shared.with_another_look(self.kind, (self.limit, self.cancel.as_ref()), attempt)
    }

    fn attempt(&self, request: &[u8], limit: TimeLimit) -> Result<Bytes> {
        let shared = &*self.shared;
        let gate = shared.gate.name();
        let state = shared.gate.state();
        let way = state
            .way_in(Encoding::Archive, (self.kind, gate))
            .map_err(no_way)?;
        let _span = trace::call(gate, way.link.peer().name());
        let deadline = call_due(limit).map_err(|error| no_time(error, gate))?;
        let target = Target {
            to: way.destination(self.kind, deadline),
            by: &shared.origin,
            cancel: self.cancel.as_ref(),
        };
        let outcome = untyped::call(&target, Encoding::Archive, request);
        outcome.map_err(|error| shared.missed(&way.link, error, deadline))
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
    /// Whatever is known before it is sent: no time is left, the token is cancelled, the plugin has closed, its
    /// broker has ended and the gate is absent. The future tells of everything else: `NOT_READY`; a call that
    /// found no slot until its deadline is `OVERLOADED` and certainly did not run, one that was sent and not
    /// answered is `TIMEOUT`, as is one whose provider did not map the memory for it, which certainly did not run
    /// either. Also `OVERLOADED` where all 63 bells of the
    /// plugin, or of its group, are in use when the first call is sent.
    pub fn send(&self, request: &[u8]) -> Result<Sent> {
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
            encoding: Encoding::Archive,
            deadline,
            bytes,
            gate: Some(standing),
        };
        let (completion, sender) = (Arc::<Completion>::default(), &shared.state.sent);
        let state = shared.gate.state();
        let number = match state.way_in(Encoding::Archive, (self.kind, gate)) {
            Ok(way) => {
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
