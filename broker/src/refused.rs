//! Why the broker refuses requests about gates and topics.

use std::sync::Arc;

use crate::id::PluginId;

/// Why a request about a gate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another plugin provides this name: the same one, a prefix over it, or a name under it.
    Owned(PluginId, Arc<str>),
    /// The plugin provides this half already.
    Twice,
    /// The plugin is in line for this half already.
    Waits,
    /// The plugin does not provide this half.
    NotProvided,
    /// Another plugin sends the events of this topic.
    Sends(PluginId, Arc<str>),
    /// The plugin sends on this topic already, or is in line for it.
    SendsTwice,
    /// The plugin does not send on this topic.
    SendsNot,
    /// It is an open topic, on which plugins send now.
    OpenTopic,
    /// The plugin provides as many gates as it may.
    TooManyGates(u32),
    /// The plugin has as many gates open as it may.
    TooManyOpens(u32),
    /// The plugin has as many bytes of schemas as it may.
    TooMuchSchema(u32),
    /// A name, a schema or a shape is not acceptable.
    Invalid(String),
    /// A gate is open already under this number.
    NumberInUse,
}
