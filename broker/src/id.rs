//! What plugins are known by inside the broker.

/// The id of a plugin's incarnation; never used again by a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PluginId(pub(crate) u64);
