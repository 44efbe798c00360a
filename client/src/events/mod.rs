//! Events: a source with its rings, listeners and budgets; a feed with its place in one ring.
