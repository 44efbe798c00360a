//! Records about shared memory: all kinds of it go through the same stages.
//!
//! Each piece of memory is a file that the broker makes, that one plugin writes, and that others read.
//! A [`MemoryId`] names its kind and the end of the link to which it belongs, in the same way for every plugin. A
//! plugin's [`Role`] says whether it writes or reads the memory.
//!
//! ```text
//! writer               broker                         reader
//!   | (Want) ----------> |                                |   only where the writer has to ask
//!   | <------------- Map |                                |   its size sealed; writable
//!   | Mapped ----------> |                                |
//!   |                    |                                |   sealed: no further writable maps
//!   |                    |   Map -----------------------> |   read-only
//!   |                    | <---------------------- Mapped |
//!   | <---------- (Ready)|                                |   payloads may lie in it
//!   | (Return) --------> |   (Unmap) -------------------> |
//! ```
//!
//! `Map` is answered by `Mapped` or by `Failed`, once. The kinds have no more in common than that. The table shows
//! how each kind does the steps; a further kind needs a column of its own:
//!
//! | | outbox | extent |
//! |---|---|---|
//! | made | by the broker, with the link | when its writer wants it (`Want`) |
//! | allocated | page by page, by whoever touches a page first: 21 pages | all of it by the writer before `Mapped`, so that the kernel charges the writer's memory cgroup |
//! | charged | as a link | in MiB, to the writer and to the bus, until nobody holds it |
//! | sealed | at once | on a thread of its own: the kernel waits for who is writing or allocating. Then the broker demands that all of it is allocated |
//! | handed over | inside of [`Peer`](super::LinkToPlugin::Peer), when its turn comes in the link's set-up | at once, by `Map` |
//! | ready | said by the state of the gates that can be called over the link | `Ready` |
//! | an answer is late | the link ends (`TIMEOUT`) | nothing: it keeps its number and its charge until the answer comes, and who waits for it has a deadline |
//! | `Failed` | the link ends | it alone is let go of, and `Refused` to its writer where the reader failed |
//! | ends | with its link | `Return`, answered by nothing; `Unmap` to the reader; or with its link |
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | writer | dies before `Mapped` | the broker closes its descriptors; with the writer's the memory goes |
//! | either | never answers | as the table says. A writer's library wants one extent of a link at a time, so a reader that never answers has its writer charged for one |
//! | writer | says `Mapped` of an extent and has not allocated all | its session ends (`PROTOCOL`): a reader must never have to allocate, nor read what its writer can take away |
//! | writer | allocates beyond the end, punches holes, shrinks | the kernel refuses: the size is sealed from the start, the rest before the broker looks |
//! | writer | seals the file before the broker does | its session ends (`PROTOCOL`) |
//! | writer | keeps the kernel from sealing an extent | its session ends (`TIMEOUT`) after five times a step's time |
//! | writer | wants a number or length that cannot be, or a number in use; wants or returns an outbox | its session ends (`PROTOCOL`) |
//! | either | answers what it was not sent, or twice, or for the other side | its session ends (`PROTOCOL`) |
//! | either | keeps a map or descriptor of an extent that was returned, or of a link that has ended | it stays charged until the kernel tells the broker that nobody has it any more |
//! | reader | dies | the link ends; the writer's library unmaps what belonged to it |
//! | broker | dies | what is ready goes on to be used; what is not is dropped by both sides |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, LinkEnd};

/// Which memory: its kind, and its address in that kind.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum MemoryId {
    /// An outbox of a link: ring, reply slots and payload blocks.
    Outbox {
        /// The end of the link that writes it.
        end: LinkEnd,
    },
    /// An extent of a link, for large payloads.
    Extent {
        /// The end of the link that writes it.
        end: LinkEnd,
        /// Its number among those of this end, below [`MAX_EXTENTS`](crate::payload::MAX_EXTENTS).
        number: u8,
    },
}

/// Whether a plugin writes or reads a piece of memory. A plugin that is linked with itself has both roles.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum Role {
    /// The plugin maps the memory for writing, and is the only one that does.
    Writer,
    /// The plugin maps the memory for reading.
    Reader,
}

impl MemoryId {
    /// The end of the link that has this role.
    pub fn end(self, role: Role) -> LinkEnd {
        let (MemoryId::Outbox { end } | MemoryId::Extent { end, .. }) = self;
        match role {
            Role::Writer => end,
            Role::Reader => end.other(),
        }
    }
}

/// About memory, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum MemoryToBroker {
    /// Make an extent for this side's large payloads. Answered by `Map` or `Refused`.
    Want {
        /// Which: an extent of an own end, under a number that is not in use.
        memory: MemoryId,
        /// Its size in bytes, one of those that extents have.
        len: u32,
    },
    /// This side has mapped the memory in the given role. The writer of an extent has also allocated all of it.
    Mapped {
        /// The memory.
        memory: MemoryId,
        /// This side's role.
        role: Role,
    },
    /// This side cannot use the memory; in the place of `Mapped`.
    Failed {
        /// The memory.
        memory: MemoryId,
        /// This side's role.
        role: Role,
        /// What went wrong.
        failure: Failure,
    },
    /// The writer of an extent has unmapped it and no longer uses it. A request without an answer: the
    /// writer may want the same number again at once.
    Return {
        /// Which.
        memory: MemoryId,
    },
}

/// About memory, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum MemoryToPlugin {
    /// Map this memory. Descriptor: its file.
    Map {
        /// Which.
        memory: MemoryId,
        /// As what.
        role: Role,
        /// Its size in bytes.
        len: u32,
    },
    /// The reader has mapped an extent that this side writes: payloads may lie in it.
    Ready {
        /// Which.
        memory: MemoryId,
    },
    /// An extent that this side wants, or has, cannot be used.
    Refused {
        /// Which.
        memory: MemoryId,
        /// Why.
        failure: Failure,
    },
    /// The writer no longer uses an extent that this side reads: unmap it. Needs no answer.
    Unmap {
        /// Which.
        memory: MemoryId,
    },
}
