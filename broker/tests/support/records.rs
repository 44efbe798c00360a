//! Records about memory that plugins send.

use callgate_layout::control::{LinkEnd, MemoryId, MemoryToBroker, Role};

/// A side has mapped its outbox.
pub(crate) fn outbox_mapped(end: LinkEnd) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Outbox { end }, Role::Writer);
    MemoryToBroker::Mapped { memory, role }
}

/// A side has mapped its peer's outbox.
pub(crate) fn peer_mapped(end: LinkEnd) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Outbox { end: end.other() }, Role::Reader);
    MemoryToBroker::Mapped { memory, role }
}

/// A side asks for an extent.
pub(crate) fn want(end: LinkEnd, number: u8, len: u32) -> MemoryToBroker {
    let memory = MemoryId::Extent { end, number };
    MemoryToBroker::Want { memory, len }
}

/// A side has allocated and mapped an extent.
pub(crate) fn written(end: LinkEnd, number: u8) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Extent { end, number }, Role::Writer);
    MemoryToBroker::Mapped { memory, role }
}
