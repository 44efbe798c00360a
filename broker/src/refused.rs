//! Why requests about gates are refused.

use crate::id::PluginId;

/// Why a request about a gate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The gate has another owner.
    Owned(PluginId),
    /// The plugin provides this half already.
    Twice,
    /// The plugin is in line for this half already.
    Waits,
    /// The plugin does not provide this half.
    NotProvided,
    /// The plugin provides as many gates as it may.
    TooManyGates(u32),
    /// The plugin has as many gates open as it may.
    TooManyOpens(u32),
    /// A name or a shape is not acceptable.
    Invalid(String),
    /// The number is that of a gate which is open already.
    NumberInUse,
}
