//! Records as correct plugins send them.

use callgate_layout::control::{
    DoorbellName, Identity, LinkEnd, MemoryId, MemoryToBroker, Role, SessionToBroker, ToBroker,
};

/// A correct hello.
pub fn hello(name: &str) -> ToBroker {
    SessionToBroker::Hello(identity(name)).into()
}

/// A correct hello that names doorbells.
pub fn hello_in_group(name: &str, doorbells: Vec<DoorbellName>) -> ToBroker {
    let identity = identity(name);
    SessionToBroker::HelloInGroup {
        identity,
        doorbells,
    }
    .into()
}

fn identity(name: &str) -> Identity {
    Identity {
        name: name.into(),
        display_name: name.into(),
        version: "0".into(),
        clock: callgate_layout::clock::facts(),
    }
}

/// The record that a side sends after it has mapped its outbox.
pub fn outbox_mapped(end: LinkEnd) -> MemoryToBroker {
    let (memory, role) = (MemoryId::Outbox { end }, Role::Writer);
    MemoryToBroker::Mapped { memory, role }
}

/// The record that a side sends after it has mapped its peer's outbox.
pub fn peer_mapped(end: LinkEnd) -> MemoryToBroker {
    let end = LinkEnd {
        side: end.side ^ 1,
        ..end
    };
    let (memory, role) = (MemoryId::Outbox { end }, Role::Reader);
    MemoryToBroker::Mapped { memory, role }
}
