//! The handles that programs hold: a plugin, its providers, subscribers and watches.

pub mod dynamic;
pub(crate) mod events;
pub(crate) mod group;
pub(crate) mod plugin;
pub(crate) mod provider;
pub(crate) mod raw;
mod returning;
pub(crate) mod shared;
pub(crate) mod shares;
pub(crate) mod subscriber;
pub(crate) mod watch;
