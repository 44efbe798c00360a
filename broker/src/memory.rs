//! How the broker names the memory that it has made.

use callgate_layout::control::MemoryId;

/// Some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AnyMemory {
    /// An outbox or an extent of a link.
    Link(MemoryId),
    /// A ring of events, by its number.
    Ring(u64),
    /// The memory of one writer of a cell, by its number.
    Cell(u64),
    /// A version of a share, by its number.
    Version(u64),
}

impl From<MemoryId> for AnyMemory {
    fn from(memory: MemoryId) -> AnyMemory {
        AnyMemory::Link(memory)
    }
}

impl AnyMemory {
    /// A noun for this memory in a message.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            AnyMemory::Link(MemoryId::Outbox { .. }) => "outbox",
            AnyMemory::Link(MemoryId::Extent { .. }) => "extent",
            AnyMemory::Ring(_) => "ring of events",
            AnyMemory::Cell(_) => "cell",
            AnyMemory::Version(_) => "share",
        }
    }

    /// Whether this is an outbox: memory that is not charged, whose file description both plugins share, and whose end nobody has to be
    /// told of.
    pub(crate) fn is_outbox(self) -> bool {
        matches!(self, AnyMemory::Link(MemoryId::Outbox { .. }))
    }
}
