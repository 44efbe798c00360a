//! The connection to a broker, and what a plugin has beyond it: gates that it opened, links, its own thread
//! that hears the broker.

pub(crate) mod allocation;
pub(crate) mod broker;
pub(crate) mod connection;
pub(crate) mod control_thread;
pub(crate) mod handshake;
pub(crate) mod here;
mod mapping;
mod numbers;
pub(crate) mod open_gate;
mod outgoing;
mod place;
pub(crate) mod plugin_state;
