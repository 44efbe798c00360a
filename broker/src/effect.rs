//! What the bus wants done, for the shell to do.

use std::sync::Arc;

use callgate_layout::control::{Failure, LinkEnd, ToPlugin};

use crate::bus::ExtentId;
use crate::registry::PluginId;

/// One thing to be done; they are done in the order in which they came up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a record without descriptors.
    Send(PluginId, ToPlugin),
    /// Make the plugin's doorbell and status page and send `Welcome` with them.
    Welcome(PluginId),
    /// Close the plugin's status page to further writers.
    SealStatus(PluginId),
    /// Make the outbox of this end and send it to its plugin.
    NewOutbox(PluginId, LinkEnd),
    /// Close the outbox of this end to further writers, and tell the bus.
    SealOutbox(PluginId, LinkEnd),
    /// Send `LinkPeer` to `to`, the plugin of this end, with what belongs to `peer`.
    LinkPeer {
        /// Who is told.
        to: PluginId,
        /// The end of the one who is told.
        end: LinkEnd,
        /// Who is on the other side.
        peer: PluginId,
    },
    /// Close the broker's descriptors of both outboxes of a link.
    ForgetOutboxes(u64),
    /// The same of a link between these plugins that has ended, and send them to nobody.
    DropOutboxes(u64, [PluginId; 2]),
    /// Make an extent, without memory, and send it to its writer.
    NewExtent(PluginId, ExtentId, u32),
    /// Close an extent to further writers, look whether its writer has allocated all of it, and tell
    /// the bus.
    SealExtent(PluginId, ExtentId),
    /// Send an extent to `to`, the plugin of this end, which reads it.
    PeerExtent {
        /// Who is told.
        to: PluginId,
        /// The end of the one who is told.
        end: LinkEnd,
        /// The extent's number among those of the other end.
        number: u8,
        /// Its size.
        len: u32,
    },
    /// A reader says that it has mapped an extent.
    ExtentRead(PluginId, ExtentId),
    /// An extent between these plugins is of no more use: send it to nobody, and tell the bus by this
    /// number when nobody holds its memory any more.
    LetGoExtent(ExtentId, u64, [PluginId; 2]),
    /// Note that a link was given up, in the words of whoever did.
    GaveUp(u64, String),
    /// Send a listing that answers this request.
    Listing(PluginId, u32),
    /// A plugin has opened a gate that nobody provides, under this number.
    OpenedAbsent(PluginId, u32, Arc<str>),
    /// Answer this request with what there is to say of why nobody provides a gate.
    WhyAbsent(PluginId, u32, String),
    /// End a session.
    End(PluginId, Failure),
}
