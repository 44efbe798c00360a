//! Events: a source with its rings, listeners and budgets; a feed with its place in one ring.

mod budget;
pub(crate) mod feed;
pub(crate) mod feeds;
pub(crate) mod handlers;
pub(crate) mod inside;
pub(crate) mod listeners;
pub(crate) mod notice;
pub(crate) mod peers;
pub(crate) mod pulled;
pub(crate) mod registered;
pub(crate) mod source;
pub(crate) mod subscription;
