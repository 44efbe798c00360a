//! The numbers that the broker gives to plugins.

/// The number of one incarnation of a plugin. A broker never uses one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PluginId(pub(crate) u64);
