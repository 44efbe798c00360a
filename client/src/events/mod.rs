//! Events: a source with its rings, listeners and budgets; a feed with its place in one ring.

pub(crate) mod feed;
pub(crate) mod feeds;
pub(crate) mod handlers;
pub(crate) mod notice;
pub(crate) mod pulled;
pub(crate) mod registered;
pub(crate) mod subscription;
