//! Gates without types, for those who build on Callgate: runtimes, bindings to other languages, bridges, command lines,
//! interfaces for `async` code.
//!
//! | who | uses |
//! |---|---|
//! | calls a gate whose types it does not have | [`open_json`]: JSON in, JSON out; the provider converts |
//! | has to know first what a gate takes | [`Gate::signature`], [`describe`] |
//! | makes archives itself | [`open`], with a [`Signature`] of its own or one that was asked for |
//! | provides a gate whose types are known at run time | [`provide_with`]: JSON, archives or both, at once or later ([`Takes`]) |
//! | carries bytes that it does not look into | [`provide`], [`provide_later`], [`open`] |
//! | hears events whose types it does not have | [`subscribe_json`], [`events_json`]; with types that are known at run time [`subscribe`], [`events`] |
//! | sends events whose types are known at run time | [`topic_json`]: JSON; [`topic`]: archives |
//! | has types in Rust, and one parameter that may be anything | a handler with a `serde_json::Value` among its parameters, and no module at all |
//!
//! # JSON
//!
//! A call's parameters are an array, one element a parameter, its result is one value, and both are what serde_json would
//! write for the types. The side with types converts, and says with a path what it cannot take:
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
//! What travels through a gate between equal types is an archive of its parameters, as its [`Signature`] says. Here it is
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
//! # Without waiting
//!
//! Gates need not be waited for: [`open_json_later`]. Nor need calls: [`Gate::send`] gives a future, and one thread of the plugin looks after
//! all that are under way. Handlers need not answer when they return: [`provide_later`], and the
//! `later` ones of [`Takes`], hand them a [`Responder`]. Who answers many calls at a time does so
//! [together](answer_together), and who passes many on does that [at the end of a round](at_end_of_round).
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

/// Opens a gate to call it with archives: its function, where the signature has a result, or else its action.
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

/// Opens a gate to call it with JSON, whatever its types: its function, or its [action](Gate::action).
///
/// What the provider says of its types, [`Gate::signature`] tells. It converts the parameters to them, and its result is
/// the JSON of what its function returns.
///
/// # Errors
///
/// As [`Plugin::subscriber`].
pub fn open_json(plugin: &Plugin, gate: &str) -> Result<Gate> {
    let shared = plugin.open(gate, anything_of_both(), Encodings::JSON)?;
    Ok(Gate::new(shared, CallKind::Function, Encoding::Json))
}

/// Opens a gate as [`open_json`], and waits for nobody: neither for the broker nor for a provider that stands still. For threads
/// that others wait for.
///
/// Until the broker has said how the gate stands it is as one that nobody provides, and [`Gate::wait_ready`] waits for it.
/// [`Gate::send`] can be used at once: the call waits for what the broker says, and no thread does.
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

/// What a gate's provider says that it takes and gives.
#[derive(Clone, Debug)]
pub struct Description {
    /// Of its function, if it has one.
    pub function: Option<Arc<Signature>>,
    /// Of its action, if it has one.
    pub action: Option<Arc<Signature>>,
}

/// Asks what a gate takes and gives, also one that takes archives alone.
///
/// # Errors
///
/// `NOT_READY` where nobody provides the gate; otherwise as [`Plugin::subscriber`].
pub fn describe(plugin: &Plugin, gate: &str) -> Result<Description> {
    let shared = plugin.open(gate, anything_of_both(), Encodings::BOTH)?;
    match described(&shared.gate) {
        Err(error) if error.code() == Code::NotReady => {
            // The broker may know why nobody provides it, or that somebody does by now.
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
