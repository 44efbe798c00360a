//! What the bus wants done, for the shell to do.

use std::sync::Arc;

use callgate_layout::control::{
    CellToPlugin, Failure, FeedToPlugin, LinkEnd, MemoryId, ShareToPlugin, SourceToPlugin, ToPlugin,
};

use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::Kept;

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
    /// Make memory for a version of a share, and send it to its maker with this record; and the share's page, where it has none yet.
    MakeVersion {
        /// Its maker.
        to: PluginId,
        /// Which.
        version: u64,
        /// Of which share it is to be.
        share: u64,
        /// Its size in bytes.
        len: u64,
        /// What comes with it.
        record: ShareToPlugin,
    },
    /// Make sealed memory with these bytes for a version of a share; and the share's page, where it has none yet. The bus is told as after
    /// `Seal`.
    CopyVersion {
        /// Its maker.
        from: PluginId,
        /// Which.
        version: u64,
        /// Of which share it is to be.
        share: u64,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Keep the descriptor that came with the record which is read now. Where there is none, the memory could not be made.
    Keep {
        /// Whose it is.
        from: PluginId,
        /// Under which number it is to be kept.
        version: u64,
    },
    /// Look at memory that was kept so: whether nobody can change it, and all of it is there; and make the share's page. The bus is told as
    /// after `Seal`.
    Examine {
        /// Whose it is.
        from: PluginId,
        /// Which.
        version: u64,
        /// Of which share it is to be.
        share: u64,
        /// Its size in bytes, as the plugin says.
        len: u64,
    },
    /// A version of a share is the newest one: say so on its page.
    Published {
        /// The share.
        share: u64,
        /// The number for its page.
        number: u64,
    },
    /// A version is sent to nobody any more: those that have it keep it.
    Retired(u64),
    /// Send a share's page with this record, and then the memory of a version.
    Have {
        /// Who is told.
        to: PluginId,
        /// The share.
        share: u64,
        /// The version whose memory goes along.
        version: Option<u64>,
        /// What comes with it.
        record: ShareToPlugin,
    },
    /// Send the memory of a version with this record.
    SendVersion {
        /// Who is told.
        to: PluginId,
        /// Which.
        version: u64,
        /// What comes with it.
        record: ShareToPlugin,
    },
    /// A share is found no more, but who has it keeps it: say on its page that it is gone.
    Hidden(u64),
    /// A share is gone, or never came to be: say so on its page, and forget that.
    EndShare(u64),
    /// Keep a sealed version in a file, in the place of the version that is there, if one is. Only then it is registered: tell the bus by
    /// [`Bus::version_saved`](crate::bus::Bus::version_saved).
    Save {
        /// Which.
        version: u64,
        /// What is to be said of it.
        kept: Kept,
    },
    /// Look whether there is a file for a tag. If there is, keep it under this number, make the share's page, and tell the bus by
    /// [`Bus::version_loaded`](crate::bus::Bus::version_loaded) what is said of it; or that there is none.
    Load {
        /// The number of the version.
        version: u64,
        /// Of which share it is to be.
        share: u64,
        /// The tag.
        tag: Arc<str>,
        /// Whether the file itself will do; else it is copied into sealed memory.
        in_place: bool,
    },
    /// Remove the file of a tag. Tell the bus by [`Bus::file_removed`](crate::bus::Bus::file_removed) whether there was one.
    RemoveFile {
        /// Who asks.
        from: PluginId,
        /// The number of that request.
        request: u32,
        /// The tag.
        tag: Arc<str>,
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
