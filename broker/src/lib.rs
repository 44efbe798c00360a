//! A Callgate broker: which plugins are on a bus, which gates they provide, and who may call whom.
//!
//! [`Broker::builder`] starts a broker inside any program, on one thread; `callgate serve` (of the crate `callgate-cli`) is a thin program
//! over it. The broker decides, makes memory, hands it out and cleans up. No call passes it: linked plugins call each other through memory
//! that the broker never maps, and go on when it is gone.
//!
//! A host embeds it, takes part in the bus as a plugin of the crate `callgate-client`, and starts its plugins:
//!
//! ```no_run
//! use std::process::Command;
//! use std::time::Duration;
//!
//! use callgate::Broker;
//! use callgate::supervision::Restart;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().without_socket().start()?;
//! // For `callgate_client::Plugin::builder("host").descriptor(…)`: the host is a plugin, too, which calls the others.
//! let connection = broker.connect()?;
//! // Started once; `spawn_as` of the handle adds a policy.
//! let meter = broker.spawn("meter", Command::new("./meter"))?;
//! // Started again whenever it ends.
//! let gain = broker.supervise("gain", || Command::new("./gain"), Restart::default())?;
//! meter.wait_ready(Duration::from_secs(5))?;
//! println!("{:?}", gain.status());
//! # drop(connection);
//! # Ok(())
//! # }
//! ```
//!
//! Plugins in folders with manifests, in any language, are run by the crate `callgate-runtime`. [`BrokerHandle`] is for libraries and other
//! threads; [`Policy`] says what a plugin may do; [`Listing`] is what `callgate ls` shows.
//!
//! # How it is built
//!
//! The pure core is `bus`, over `registry` (gates and opens), `lines` (which plugin provides a gate next), `lives` (of gates), `link` and
//! `grants` (the state machine of one link), `stages` (of memory), `schemas` (of what is provided), `asked` (plugins that wait for an
//! answer), `topics`, `shares`, `cells`, `waits`, `policy` and `quota`; records go in and effects come out. The shell is `reactor`, which
//! owns sockets, descriptors and time, with `socket`, `child` and `builder` around it. [`supervision`] is pure as well: the course of a
//! program that is started again when it ends.
#![forbid(unsafe_code)]

mod asked;
mod broker;
mod builder;
mod bus;
mod cells;
mod child;
mod clocks;
mod deadlines;
mod descent;
mod effect;
mod error;
mod grants;
mod handle;
mod helper;
mod huge;
mod id;
mod lines;
mod link;
pub mod listing;
mod lives;
mod lock;
mod memory;
mod names;
mod persistent;
mod policy;
mod quota;
mod reactor;
mod refused;
mod registry;
mod schemas;
mod settings;
mod shape;
mod shares;
pub mod shown;
mod socket;
mod stages;
mod supervised;
pub mod supervision;
pub mod systemd;
mod topics;
mod waits;

pub use broker::Broker;
pub use builder::Builder;
pub use callgate_layout::socket::default_socket;
pub use child::{Child, Progress};
pub use error::StartError;
pub use handle::{Asked, BrokerHandle};
pub use listing::Listing;
pub use policy::{Policy, UnknownCapability};
pub use settings::BusLimits;
pub use supervised::Supervised;
