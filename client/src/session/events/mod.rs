//! The records about events, for sources and for feeds; and what is told again to the next broker.

pub(crate) mod feeds;
pub(crate) mod sources;
