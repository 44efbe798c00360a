//! Records about events to sources and feeds, and back; what is said again to the next broker.

pub(crate) mod feeds;
pub(crate) mod sources;
