//! Services that plugins use by gates: a store of keys and values (`data.kv`), settings (`data.config`), schedules
//! (`schedule.register`, `schedule.unregister`).
//!
//! [`Services`] provides them on a bus, as a plugin like any other. Each gate takes one JSON object and gives a JSON value; docs/stdio.md
//! has their fields and results. When a plugin on pipes sends a frame whose type is the name of such a gate, that is a call of the gate.
//!
//! A call is parsed by the plugin's dispatcher (`gates`, `request`), waits in the `mailbox` (a `line` in which plugins have turns), and is
//! done by one thread (`worker`). That thread has the files (`data` over `stores` over `pairs`) and the `schedules`, with the `lives` of
//! the plugins that have registered some.
#![forbid(unsafe_code)]

mod builder;
mod data;
mod error;
mod gates;
mod limits;
mod line;
mod lives;
mod mailbox;
mod pairs;
mod refusal;
mod request;
mod schedules;
mod services;
mod stores;
mod worker;

pub use builder::Builder;
pub use error::ServicesError;
pub use limits::Limits;
pub use services::{ConfigChange, Services};
