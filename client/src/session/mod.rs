//! The connection to a broker, and what a plugin has beyond it: gates that it opened, links, its own thread
//! that hears the broker.

pub(crate) mod allocation;
mod allowance;
pub(crate) mod broker;
pub(crate) mod cells;
pub(crate) mod connection;
pub(crate) mod control_thread;
pub(crate) mod events;
pub(crate) mod handshake;
pub(crate) mod here;
mod mapping;
pub(crate) mod membership;
pub(crate) mod notices;
pub(crate) mod numbers;
pub(crate) mod open_gate;
mod open_gates;
mod outgoing;
pub(crate) mod place;
pub(crate) mod plugin_state;
pub(crate) mod presence;
pub(crate) mod retry;
mod schemas;
pub(crate) mod shares;
mod verdict;
pub(crate) mod wanted;
