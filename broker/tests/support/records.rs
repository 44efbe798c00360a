//! What a plugin says about memory.

use callgate_layout::control::{LinkEnd, MemoryId, MemoryToBroker, Role};

/// What a side says that has mapped its outbox.
pub(crate) fn outbox_mapped(end: LinkEnd) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Outbox { end }, Role::Writer);
    MemoryToBroker::Mapped { memory, role }
}

/// What a side says that has mapped its peer's outbox.
pub(crate) fn peer_mapped(end: LinkEnd) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Outbox { end: end.other() }, Role::Reader);
    MemoryToBroker::Mapped { memory, role }
}

/// What a side says that wants an extent.
pub(crate) fn want(end: LinkEnd, number: u8, len: u32) -> MemoryToBroker {
    let memory = MemoryId::Extent { end, number };
    MemoryToBroker::Want { memory, len }
}

/// What a side says that has allocated and mapped an extent.
pub(crate) fn written(end: LinkEnd, number: u8) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Extent { end, number }, Role::Writer);
    MemoryToBroker::Mapped { memory, role }
}
