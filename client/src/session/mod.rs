//! The connection to a broker, and what a plugin has beyond it: gates that it opened, links, its own thread
//! that hears the broker.

pub(crate) mod allocation;
pub(crate) mod broker;
pub(crate) mod connection;
pub(crate) mod control_thread;
pub(crate) mod handshake;
pub(crate) mod here;
mod mapping;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "told by the thread that comes back")
)]
pub(crate) mod notices;
mod numbers;
pub(crate) mod open_gate;
mod outgoing;
mod place;
pub(crate) mod plugin_state;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "used by the thread that comes back")
)]
pub(crate) mod retry;
