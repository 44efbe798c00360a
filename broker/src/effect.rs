//! Effects: what the bus decides and the shell carries out.

use std::sync::Arc;

use callgate_layout::control::{
    CellToPlugin, Failure, FeedToPlugin, LinkEnd, MemoryId, ShareToPlugin, SourceToPlugin, ToPlugin,
};

use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::Kept;

/// One effect. The shell carries effects out in the order in which they were queued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a record without descriptors.
    Send(PluginId, ToPlugin),
    /// Make the plugin's doorbell and status page and send `Welcome` with them.
    Welcome(PluginId),
    /// Seal the plugin's status page against further writers.
    SealStatus(PluginId),
    /// Make memory of a link and send it to its writer.
    Make {
        /// The writer.
        to: PluginId,
        memory: MemoryId,
        /// Its size in bytes.
        len: u32,
    },
    /// The writer has mapped this memory: seal it against further writers, check that all of it is allocated that has to be, and tell the
    /// bus.
    Seal(PluginId, AnyMemory),
    /// Send an extent to its reader.
    HandOver(PluginId, MemoryId),
    /// Send `Peer` to `to`, the plugin of this end, with what belongs to `peer`: also the peer's outbox, which is handed over by that.
    Peer {
        /// The plugin that is told.
        to: PluginId,
        /// The end of that plugin.
        end: LinkEnd,
        /// The plugin on the other side.
        peer: PluginId,
    },
    /// The reader says that it has mapped this memory.
    Read(PluginId, MemoryId),
    /// The bus has no more use for this memory: send it to no plugin. If there is a serial number, tell the bus that number when nobody
    /// holds the memory any more.
    LetGo {
        memory: AnyMemory,
        /// Its writer and its reader; of a ring, its writer twice.
        users: [PluginId; 2],
        /// The number under which the memory stays charged.
        serial: Option<u64>,
    },
    /// Make a ring of events and send it to its source with this record.
    MakeRing {
        /// The plugin of the source.
        to: PluginId,
        ring: u64,
        /// Its size in bytes.
        len: u32,
        record: SourceToPlugin,
    },
    /// Send a ring to a plugin that will follow it, with the doorbell and process of the source's plugin.
    Follow {
        /// The plugin that is told.
        to: PluginId,
        ring: u64,
        /// The plugin of the source.
        sender: PluginId,
        record: FeedToPlugin,
    },
    /// Tell a source that a plugin listens, with that plugin's pages and process.
    Listen {
        /// The plugin of the source.
        to: PluginId,
        /// The plugin that listens.
        listener: PluginId,
        record: SourceToPlugin,
    },
    /// Make memory for a version of a share and send it to its maker with this record. Make the share's page if there is none.
    MakeVersion {
        /// The maker.
        to: PluginId,
        version: u64,
        /// The share that the version belongs to.
        share: u64,
        /// Its size in bytes.
        len: u64,
        record: ShareToPlugin,
    },
    /// Make sealed memory with these bytes for a version of a share, and the share's page if there is none. The bus is told as after
    /// `Seal`.
    CopyVersion {
        /// The maker.
        from: PluginId,
        version: u64,
        /// The share that the version belongs to.
        share: u64,
        /// The bytes of the value.
        value: Vec<u8>,
    },
    /// Keep the descriptor that came with the record which is handled now. If none came, tell the bus that the memory could not be made.
    Keep {
        /// The plugin that has sent it.
        from: PluginId,
        /// The number under which it is kept.
        version: u64,
    },
    /// Check memory that was kept by `Keep`: nobody can change it, and all of it is allocated. Make the share's page. The bus is told as
    /// after `Seal`.
    Examine {
        /// The plugin that has sent it.
        from: PluginId,
        version: u64,
        /// The share that the version belongs to.
        share: u64,
        /// Its size in bytes, as the plugin has said.
        len: u64,
    },
    /// A version of a share is now the newest one: write its number on the share's page.
    Published {
        share: u64,
        /// The number to write.
        number: u64,
    },
    /// A version will be sent to no plugin any more; plugins that have it keep it.
    Retired(u64),
    /// Send the page of a share with this record, and the memory of a version behind it if one is named.
    Have {
        /// The plugin that is told.
        to: PluginId,
        share: u64,
        /// The version whose memory is sent along.
        version: Option<u64>,
        record: ShareToPlugin,
    },
    /// Send the memory of a version with this record.
    SendVersion {
        /// The plugin that is told.
        to: PluginId,
        version: u64,
        record: ShareToPlugin,
    },
    /// The tag does not lead to this share any more, but plugins that have it keep it: write on its page that it is gone.
    Hidden(u64),
    /// A share has ended, or was never registered: write on its page that it is gone, and close the page.
    EndShare(u64),
    /// Save a sealed version in a file, which replaces the file of the version before. The bus registers the version only after
    /// [`Bus::version_saved`](crate::bus::Bus::version_saved) was called.
    Save {
        version: u64,
        /// What the file says of the version.
        kept: Kept,
    },
    /// Look for the file of a tag. If there is one, keep it or a copy as the memory of this version, and make the share's page. Tell the
    /// bus by [`Bus::version_loaded`](crate::bus::Bus::version_loaded) what the file says, or that there is none.
    Load {
        /// The number that the version gets.
        version: u64,
        /// The number that the share gets.
        share: u64,
        tag: Arc<str>,
        /// Whether the file itself may be used as the memory; otherwise it is copied into sealed memory.
        in_place: bool,
    },
    /// Remove the file of a tag, and tell the bus by [`Bus::file_removed`](crate::bus::Bus::file_removed) whether there was one.
    RemoveFile {
        /// The plugin that asks.
        from: PluginId,
        /// The number of its request.
        request: u32,
        tag: Arc<str>,
    },
    /// Make memory for a cell and send it to its writer with this record, and with the memory of the writer before, if there is any.
    MakeCell {
        /// The writer.
        to: PluginId,
        memory: u64,
        /// The memory of the writer before.
        last: Option<u64>,
        /// Its size in bytes.
        len: u32,
        record: CellToPlugin,
    },
    /// Send the memory of a cell to one of its readers.
    ReadCell {
        /// The plugin that is told.
        to: PluginId,
        memory: u64,
        record: CellToPlugin,
    },
    /// The memory of a cell is no longer used: send it to no plugin.
    DropCell {
        memory: u64,
        /// The writer, if it was sent the memory and has not acknowledged that.
        writer: Option<PluginId>,
        /// The plugins that may have been sent the memory.
        users: Vec<PluginId>,
    },
    /// Log that a link was given up, with the reason.
    GaveUp(u64, String),
    /// Log that a plugin has not said in time that it refuses calls over a link of an older broker.
    NotRefused(PluginId),
    /// Log a circle of waits, one of which was given up: this text says who waited for whom.
    Deadlocked(String),
    /// Send a listing that answers this request.
    Listing(PluginId, u32),
    /// A plugin has opened a gate that nobody provides; with the number of the open.
    OpenedAbsent(PluginId, u32, Arc<str>),
    /// Answer this request with what is known about why nobody provides this gate.
    WhyAbsent(PluginId, u32, String),
    /// The change of policy of this number is in force: all providers refuse what they have to, except for the plugins of these names.
    PolicySet(u64, Vec<String>),
    /// End a session.
    End(PluginId, Failure),
}
