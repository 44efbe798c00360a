//! Events: a source with its rings, listeners and budgets; a feed with its place in one ring.

mod budget;
pub(crate) mod listeners;
pub(crate) mod peers;
pub(crate) mod source;
