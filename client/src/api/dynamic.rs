//! Gates without types, for those who build on Callgate: runtimes, bindings to other languages, bridges, command lines,
//! interfaces for `async` code.
//!
//! | who | uses |
//! |---|---|
//! | calls a gate without having its types | [`open_json`]: JSON in, JSON out; the provider converts |
//! | asks first what a gate takes | [`Gate::signature`], [`describe`] |
//! | makes archives itself | [`open`], with its own [`Signature`] or with one that it has asked for |
//! | provides a gate whose types are known at run time | [`provide_with`]: JSON, archives or both, answered at once or later ([`Takes`]) |
//! | carries bytes without looking into them | [`provide`](fn@provide), [`provide_later`], [`open`] |
//! | receives events without having their types | [`subscribe_json`], [`events_json`]; if the types are known at run time, [`subscribe`], [`events`] |
//! | sends events whose types are known at run time | [`topic_json`]: JSON; [`topic`](fn@topic): archives |
//! | has Rust types, and one parameter that may be anything | nothing of this module: a handler may take a `serde_json::Value` |
//!
//! # JSON
//!
//! The parameters of a call are one JSON array with one element for each parameter. The result is one JSON value.
//! Both are what serde_json would write for the types. The side that has the types converts; if a value does not
//! fit, the error names its path:
//!
//! ```no_run
//! use callgate_client::{Plugin, dynamic};
//! use serde_json::json;
//!
//! # fn main() -> callgate_client::Result<()> {
//! let plugin = Plugin::connect("Script")?;
//! let filter = dynamic::open_json(&plugin, "Rack.Filter")?;
//! println!("{}", filter.signature()?); // (Track, f64) -> Track
//! let track = json!({ "title": "Intro", "samples": [1, 2, 3] });
//! let louder = filter.call_values(&[track, json!(2)])?;
//! println!("{louder}");
//! # Ok(())
//! # }
//! ```
//!
//! # Archives
//!
//! If both sides have equal types, a gate carries archives of its parameters, as its [`Signature`] says. The
//! functions here give and take an archive as bytes and do not check them; the code that uses them must make valid
//! ones. A peer with types checks every archive that it reads, so invalid bytes fail only that call (with
//! `PROTOCOL`, whichever side made them).
//!
//! An archive is in the default format of rkyv 0.8: little-endian, relative pointers of 32 bits, the root at the
//! end of the bytes, the first byte aligned to 16. The root of a request is the *tuple* of the parameters, even if
//! there is only one. The root of an answer is the result. [`encode`] makes an archive of gate types and [`decode`]
//! reads one:
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
//! Code that has no Rust types describes them by a [`Signature`], which it builds from [`Schema`]s.
//!
//! # Without waiting
//!
//! Opening a gate need not wait: [`open_json_later`]. Calls need not wait: [`Gate::send`] returns a future, and one
//! thread of the plugin looks after all calls that were sent. Handlers need not answer before they return:
//! [`provide_later`], and the functions of [`Takes`] that end in `later`, give them a [`Responder`]. A thread that
//! answers many calls at a time can do so [together](answer_together), and a handler that passes many calls on can
//! do that [at the end of a round](at_end_of_round).
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

mod gate;
mod hear;
mod prefix;
mod provide;
mod sent;
mod takes;
mod together;
mod topic;

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::envelope::CallKind;

use super::plugin::Plugin;
use crate::base::archive::{self, ALIGNMENT, MAX_LEN};
use crate::base::buffers::{Scratch, no_memory};
use crate::base::error::Result;
use crate::base::types::{Failed, GateType};
use crate::link::extents::too_large;
use crate::session::open_gate::OpenGate;
use crate::session::wanted::anything;

pub use crate::base::bytes::Bytes;
pub use crate::base::types::json_schema;
pub use crate::handler::checked::CheckedResult;
pub use crate::handler::responder::Responder;
pub use callgate_layout::Encodings;
pub use callgate_layout::schema::{Body, Field, Primitive, SchemaError, TypeDef, Variant};
pub use callgate_layout::{Encoding, Fingerprint, Schema, Signature};
pub use gate::Gate;
pub use hear::{events, events_json, subscribe, subscribe_json};
pub use prefix::{Prefix, provide_prefix};
pub use provide::{provide, provide_later, provide_with};
pub use sent::Sent;
pub use takes::Takes;
pub use together::{answer_together, at_end_of_round};
pub use topic::{Topic, topic, topic_json};

/// Makes an archive of a value: of a tuple of parameters, or of a result.
///
/// # Errors
///
/// `REQUEST_TOO_LARGE` if the archive is longer than 64 MiB, [`SYSTEM`](Code::System) if there is no memory.
pub fn encode<T: GateType>(value: &T) -> Result<Bytes> {
    let mut buffer = Scratch::take();
    archive::serialize_vec(value, &mut buffer, None, MAX_LEN).map_err(|why| match why {
        Failed::OutOfMemory(why) => no_memory(why, "archive"),
        Failed::Unfit(why) => why.error("archive's values"),
        _ => too_large(Code::RequestTooLarge, "archive's bytes", MAX_LEN),
    })?;
    Ok(Bytes::copy(&buffer))
}

/// Checks an archive and makes a value of it. The bytes may come from a hostile peer. If the first byte is not
/// aligned to 16, the bytes are copied first.
///
/// # Errors
///
/// `PROTOCOL` if the bytes are no archive of a `T`, or if the archive is nested more than 64 levels deep.
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

/// Opens a gate to call it with archives: its function if the signature has a result, otherwise its action.
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
    Ok(Gate::new(shared, kind_of(signature), Encoding::Archive))
}

/// Opens a gate to call it with JSON, whatever its types are. Calls the gate's function; [`Gate::action`] gives its
/// action.
///
/// The provider converts the parameters to its types, and the result of its function to JSON. [`Gate::signature`]
/// returns the types.
///
/// # Errors
///
/// As [`Plugin::subscriber`].
pub fn open_json(plugin: &Plugin, gate: &str) -> Result<Gate> {
    let shared = plugin.open(gate, anything_of_both(), Encodings::JSON)?;
    Ok(Gate::new(shared, CallKind::Function, Encoding::Json))
}

/// Opens a gate like [`open_json`], but waits neither for the broker nor for a provider that stands still. Meant
/// for threads that others wait for.
///
/// Until the broker has said how the gate stands, the gate looks as if nobody provided it; [`Gate::wait_ready`]
/// waits for the broker. [`Gate::send`] can be used at once: the call is sent when the broker has answered, and no
/// thread waits for that.
///
/// ```no_run
/// use callgate_client::{Plugin, dynamic};
/// use serde_json::json;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Script")?;
/// let filter = dynamic::open_json_later(&plugin, "Rack.Filter")?; // returns at once
/// let louder = filter.send_values(&[json!(2)])?; // so does this
/// println!("{}", louder.wait_value()?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Plugin::subscriber_later`].
pub fn open_json_later(plugin: &Plugin, gate: &str) -> Result<Gate> {
    let shared = plugin.open_later(gate, anything_of_both(), Encodings::JSON)?;
    Ok(Gate::new(shared, CallKind::Function, Encoding::Json))
}

/// What a gate takes and gives, according to its provider.
#[derive(Clone, Debug)]
pub struct Description {
    /// The signature of the gate's function, if the gate has one.
    pub function: Option<Arc<Signature>>,
    /// The signature of the gate's action, if the gate has one.
    pub action: Option<Arc<Signature>>,
}

/// Asks what a gate takes and gives. Also works for a gate that takes only archives.
///
/// # Errors
///
/// `NOT_READY` if nobody provides the gate; otherwise as [`Plugin::subscriber`].
pub fn describe(plugin: &Plugin, gate: &str) -> Result<Description> {
    let shared = plugin.open(gate, anything_of_both(), Encodings::BOTH)?;
    match described(&shared.gate) {
        Err(error) if error.code() == Code::NotReady => {
            // The broker may know why nobody provides the gate, or that somebody provides it by now.
            shared.ask_standing();
            described(&shared.gate)
        }
        outcome => outcome,
    }
}

/// What an open gate takes and gives.
fn described(gate: &OpenGate) -> Result<Description> {
    let state = gate.state();
    let of = |kind| match state.has(kind) {
        true => state
            .signature((gate.wanted(kind), kind), gate.name())
            .map(Some),
        false => Ok(None),
    };
    let (function, action) = (of(CallKind::Function)?, of(CallKind::Action)?);
    if function.is_none() && action.is_none() {
        state.way(CallKind::Function, gate.name())?;
    }
    Ok(Description { function, action })
}

fn anything_of_both() -> [Signature; 2] {
    [anything(Some(Schema::Any)), anything(None)]
}

fn kind_of(signature: &Signature) -> CallKind {
    match signature.result {
        Some(_) => CallKind::Function,
        None => CallKind::Action,
    }
}
