//! What a Callgate plugin links: connect to a bus, provide gates, call the gates of others.
#![forbid(unsafe_code)]

// The attribute macro names this crate, also inside it.
extern crate self as callgate_client;

mod archive;
mod broker;
mod buffers;
mod bus;
mod caller;
mod cancel;
mod chain;
mod connect;
mod context;
mod count;
mod debug;
mod dispatch;
mod error;
mod extents;
mod gates;
mod handler;
mod here;
mod intake;
mod lend;
mod link;
mod listen;
mod local;
mod memory;
mod nested;
mod numbers;
mod opened;
mod plugin;
mod provider;
mod raw;
mod refusal;
mod room;
mod serve;
mod server;
mod subscriber;
mod token;
mod trace;
mod types;
mod unsent;
mod wait;
mod watch;

pub use callgate_derive::gate_type;
pub use callgate_layout::control::PluginLimits;
pub use callgate_layout::payload::TrustPeers;
pub use callgate_layout::{Blame, Code};
pub use cancel::CancelToken;
pub use connect::PluginBuilder;
pub use context::{Caller, Context};
pub use dispatch::Dispatch;
pub use error::{Error, Result};
pub use handler::{Handler, HandlerError, Param, Reply, View};
pub use plugin::Plugin;
pub use provider::Provider;
pub use raw::{Loan, Payload, RawSubscriber};
pub use subscriber::{DEFAULT_TIMEOUT, Subscriber};
pub use types::{
    Arguments, GateType, MapKey, SortedMap, action_signature_of, fingerprint_of, schema_of,
    signature_of,
};
pub use wait::WaitPolicy;
pub use watch::{GateEvent, Watch};

/// What the attribute macro writes into other crates; not for people.
#[doc(hidden)]
pub mod __private {
    pub use callgate_layout::schema::{Describer, Field, Schema, Variant};
    pub use {rkyv, serde};

    pub use crate::types::{Direct, GateType, Plain, array};
}
