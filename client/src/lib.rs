//! What a Callgate plugin links: connect to a bus, provide gates, call the gates of others.
#![forbid(unsafe_code)]

// The attribute macro names this crate, also inside it.
extern crate self as callgate_client;

mod archive;
mod context;
mod error;
mod handler;
mod types;

pub use callgate_derive::gate_type;
pub use callgate_layout::{Blame, Code};
pub use context::{Caller, Context};
pub use error::{Error, Result};
pub use handler::{Handler, HandlerError, Param, Reply, View};
pub use types::{
    Arguments, GateType, MapKey, SortedMap, action_signature_of, fingerprint_of, schema_of,
    signature_of,
};

/// What the attribute macro writes into other crates; not for people.
#[doc(hidden)]
pub mod __private {
    pub use callgate_layout::schema::{Describer, Field, Schema, Variant};
    pub use {rkyv, serde};

    pub use crate::types::{GateType, Plain};
}
