//! What a Callgate plugin links: connect to a bus, provide gates, call the gates of others.
//!
//! A program becomes a plugin by [`Plugin::connect`]: over the connection that its host has left for it, or at the
//! socket of a broker that runs for this user (`callgate serve`). A host in whose process the broker runs uses
//! [`PluginBuilder::descriptor`].
//!
//! ```no_run
//! use callgate_client::{Plugin, gate_type};
//! use std::time::Duration;
//!
//! #[gate_type]
//! struct Track {
//!     title: String,
//!     gain: f32,
//! }
//!
//! # fn main() -> callgate_client::Result<()> {
//! let plugin = Plugin::connect("mixer")?;
//! // Provided until the `Provider` is dropped.
//! let _louder = plugin.provide("mixer.Louder", |track: Track, by: f32| Track {
//!     gain: track.gain * by,
//!     ..track
//! })?;
//! // Another plugin's gate. It may come later, go, and come back.
//! let add = plugin.subscriber::<(u32, u32), u32>("Calculator.Add")?;
//! add.wait_ready(Duration::from_secs(5))?;
//! println!("{}", add.invoke((2, 3))?);
//! plugin.wait_closed();
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | provide a gate | [`Plugin::provide`]; where its handlers run: [`Dispatch`], [`Group`]; limits of a gate: [`GateOptions`] |
//! | call a gate | [`Plugin::subscriber`], [`Plugin::raw_subscriber`]; without waiting for the broker: [`Plugin::subscriber_later`] |
//! | see gates come and go | [`Plugin::watch`], [`Plugin::watch_later`] |
//! | send and hear events | [`Plugin::topic`], [`Plugin::subscribe`], [`Plugin::events`] |
//! | share large or fast-changing values | [`Plugin::shares`] |
//! | call without types, without waiting, or answer later | the module [`dynamic`] |
//!
//! Every error is an [`Error`] with a [`Code`] that says what has happened, and [`Error::may_have_run`].
//!
//! # How this crate is built
//!
//! The folders are floors; each uses itself and those before it: `base` (errors, waiting, types and their
//! archives), `link` (one end of a link), `handler` (closures behind gates), `events` (sources and feeds),
//! `shares` (values in sealed memory, cells), `serve` (calls that come
//! in), `call` (calls that go out), `session` (the connection to a broker), `api` (what programs hold).
#![forbid(unsafe_code)]

// The attribute macro names this crate, also inside it.
extern crate self as callgate_client;

mod api;
mod base;
mod call;
mod events;
mod handler;
mod link;
mod serve;
mod session;
mod shares;

pub use api::dynamic;
pub use api::events::options::TopicOptions;
pub use api::events::pull::Events;
pub use api::events::received::{Drained, Event, Received};
pub use api::events::subscription::{Subscription, SubscriptionBuilder};
pub use api::events::topic::{Topic, TopicState};
pub use api::group::Group;
pub use api::plugin::Plugin;
pub use api::plugin::builder::PluginBuilder;
pub use api::provider::Provider;
pub use api::raw::{Loan, RawSubscriber};
pub use api::shares::Shares;
pub use api::shares::cells::{Cell, CellWriter};
pub use api::shares::publisher::Publisher;
pub use api::shares::share::Share;
pub use api::shares::versions::Versions;
pub use api::shares::watch::ShareWatch;
pub use api::subscriber::{DEFAULT_TIMEOUT, Subscriber};
pub use api::watch::Watch;
pub use base::any::Json;
pub use base::backoff::WaitPolicy;
pub use base::cancel::CancelToken;
pub use base::error::{Error, Result};
pub use base::types::{
    Arguments, GateType, MapKey, SortedMap, action_signature_of, fingerprint_of, json_schema,
    schema_of, signature_of,
};
pub use callgate_derive::gate_type;
pub use callgate_layout::control::PluginLimits;
pub use callgate_layout::payload::TrustPeers;
pub use callgate_layout::{Blame, Code};
pub use events::handlers::{EventContext, EventHandler, EventReply};
pub use events::notice::EventNotice;
pub use handler::context::Context;
pub use handler::payload::Payload;
pub use handler::{Handler, HandlerError, Param, Reply, View};
pub use link::peer::Caller;
pub use serve::dispatch::Dispatch;
pub use serve::options::GateOptions;
pub use session::notices::BrokerEvent;
pub use session::open_gate::GateEvent;
pub use shares::kind::ShareType;
pub use shares::watched::ShareEvent;

/// What the attribute macro writes into other crates; not for people.
#[doc(hidden)]
pub mod __private {
    pub use callgate_layout::schema::{Body, Describer, Field, Schema, Variant};
    pub use {rkyv, serde};

    pub use crate::base::json;
    pub use crate::base::types::{Direct, GateType, Plain, array, by_json, fields};
}
