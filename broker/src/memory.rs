//! What the broker calls the memory that it has made.

use callgate_layout::control::MemoryId;

/// Some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AnyMemory {
    /// An outbox or an extent of a link.
    Link(MemoryId),
    /// A ring of events, by its number.
    Ring(u64),
    /// What a cell lies in, by its number.
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
    /// What to call it in a sentence.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            AnyMemory::Link(MemoryId::Outbox { .. }) => "outbox",
            AnyMemory::Link(MemoryId::Extent { .. }) => "extent",
            AnyMemory::Ring(_) => "ring of events",
            AnyMemory::Cell(_) => "cell",
            AnyMemory::Version(_) => "share",
        }
    }

    /// Whether a link has it without any charge: both sides have the one description, and nobody is told when it is gone.
    pub(crate) fn is_outbox(self) -> bool {
        matches!(self, AnyMemory::Link(MemoryId::Outbox { .. }))
    }
}
