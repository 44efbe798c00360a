//! The session of a plugin: its connection to a broker and its control thread, and what it has beyond them: links,
//! open gates, subscriptions, shares.

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
