//! What the bus wants done, for the shell to do.

use std::sync::Arc;

use callgate_layout::control::{
    CellToPlugin, Failure, FeedToPlugin, LinkEnd, MemoryId, SourceToPlugin, ToPlugin,
};

use crate::id::PluginId;
use crate::memory::AnyMemory;

/// One thing to be done; they are done in the order in which they came up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a record without descriptors.
    Send(PluginId, ToPlugin),
    /// Make the plugin's doorbell and status page and send `Welcome` with them.
    Welcome(PluginId),
    /// Close the plugin's status page to further writers.
    SealStatus(PluginId),
    /// Make memory of a link, and send it to its writer to be mapped.
    Make {
        /// Its writer.
        to: PluginId,
        /// Which.
        memory: MemoryId,
        /// Its size in bytes.
        len: u32,
    },
    /// The writer has mapped it: close it to further writers, look whether all of it is allocated
    /// that has to be, and tell the bus.
    Seal(PluginId, AnyMemory),
    /// Send an extent to its reader to be mapped.
    HandOver(PluginId, MemoryId),
    /// Send `Peer` to `to`, the plugin of this end, with what belongs to `peer`: its outbox, too, which
    /// is handed over with it.
    Peer {
        /// Who is told.
        to: PluginId,
        /// The end of the one who is told.
        end: LinkEnd,
        /// Who is on the other side.
        peer: PluginId,
    },
    /// The reader says that it has mapped it.
    Read(PluginId, MemoryId),
    /// Memory between these plugins is of no more use: send it to nobody. Where it is charged, tell
    /// the bus by this number when nobody holds it any more.
    LetGo {
        /// Which.
        memory: AnyMemory,
        /// Its writer and its reader; of a ring, its writer twice.
        users: [PluginId; 2],
        /// The number under which it stays charged.
        serial: Option<u64>,
    },
    /// Make a ring of events, and send it to its source with this record.
    MakeRing {
        /// Whose source it is.
        to: PluginId,
        /// Which.
        ring: u64,
        /// Its size in bytes.
        len: u32,
        /// What comes with it.
        record: SourceToPlugin,
    },
    /// Send a ring to a plugin that is to follow it, with what belongs to its source.
    Follow {
        /// Who is told.
        to: PluginId,
        /// Which.
        ring: u64,
        /// Whose source it is.
        sender: PluginId,
        /// What comes with it.
        record: FeedToPlugin,
    },
    /// Tell a source that a plugin listens, with what belongs to that one.
    Listen {
        /// Whose source it is.
        to: PluginId,
        /// Who listens.
        listener: PluginId,
        /// What comes with it.
        record: SourceToPlugin,
    },
    /// Make memory for a cell, and send it to its writer with this record, and with that of the writer before, if there is any.
    MakeCell {
        /// Its writer.
        to: PluginId,
        /// Which.
        memory: u64,
        /// That of the writer before.
        last: Option<u64>,
        /// Its size in bytes.
        len: u32,
        /// What comes with it.
        record: CellToPlugin,
    },
    /// Send what a cell lies in to one of its readers.
    ReadCell {
        /// Who is told.
        to: PluginId,
        /// Which.
        memory: u64,
        /// What comes with it.
        record: CellToPlugin,
    },
    /// What a cell lay in is of no more use: send it to nobody.
    DropCell {
        /// Which.
        memory: u64,
        /// Who was to map it for writing and has not said so.
        writer: Option<PluginId>,
        /// Who may have been sent it.
        users: Vec<PluginId>,
    },
    /// Note that a link was given up, in the words of whoever did.
    GaveUp(u64, String),
    /// Note that a plugin has not said in time that it refuses what may not be called over an old link.
    NotRefused(PluginId),
    /// One of some waits in a circle was given up: who waited for whom.
    Deadlocked(String),
    /// Send a listing that answers this request.
    Listing(PluginId, u32),
    /// A plugin has opened a gate that nobody provides, under this number.
    OpenedAbsent(PluginId, u32, Arc<str>),
    /// Answer this request with what there is to say of why nobody provides a gate.
    WhyAbsent(PluginId, u32, String),
    /// A change of policy is in force, under the number that it was given: whoever has to refuse something
    /// for it does so, but for the plugins of these names.
    PolicySet(u64, Vec<String>),
    /// End a session.
    End(PluginId, Failure),
}
