//! Tests of the bus. Plugins are only numbers here: no process, no socket, no shell.

use callgate_layout::control::{
    Availability, Clock, FeedToBroker, FeedToPlugin, GateState, GateToBroker, GateToPlugin,
    Identity, LinkEnd, LinkToBroker, LinkToPlugin, MemoryToBroker, MemoryToPlugin, Role,
    SchemaSource, SessionToBroker, Shape, SourceToBroker, SourceToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::schema::Head;
use callgate_layout::{Encoding, Encodings};

use super::*;
use crate::clocks::SeenClock;

mod cells;
mod events;
mod extents;
mod indexes;
mod late;
mod limits;
mod lines;
mod links;
mod lives;
mod memory;
mod old_links;
mod prefixes;
mod returning;
mod revoked;
mod rights;
mod schemas;
mod shares;
mod syncs;
mod waits;

const A: PluginId = PluginId(1);
const B: PluginId = PluginId(2);
const READY: Availability = Availability::Ready {
    encoding: Encoding::Archive,
};
const STEP: Duration = Duration::from_secs(2);
/// All numbers begin with 1.
const FROM_ONE: First = First {
    link: 1,
    life: 1,
    event: 1,
    share: 1,
};

fn shape() -> Shape {
    shape_of(7)
}

fn shape_of(number: u8) -> Shape {
    let head = Head::of(&schema_of(number)).unwrap();
    Shape {
        params: head.params,
        fingerprint: head.fingerprint.0,
        encodings: Encodings::ARCHIVE,
        signature: "(u8)".into(),
    }
}

/// The bytes of a schema with one parameter, whose shape is this number.
fn schema_of(number: u8) -> Vec<u8> {
    vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, number]
}

/// The record by which the writer or the reader of some memory says that it has mapped it.
fn mapped(memory: MemoryId, role: Role) -> MemoryToBroker {
    MemoryToBroker::Mapped { memory, role }
}

/// The record of a side that has mapped its own outbox.
fn outbox_mapped(end: LinkEnd) -> MemoryToBroker {
    mapped(MemoryId::Outbox { end }, Role::Writer)
}

/// The record of a side that has mapped its peer's outbox.
fn peer_mapped(end: LinkEnd) -> MemoryToBroker {
    let end = LinkEnd {
        side: end.side ^ 1,
        ..end
    };
    mapped(MemoryId::Outbox { end }, Role::Reader)
}

/// An extent, named by the end of its writer.
fn extent_of(end: LinkEnd, number: u8) -> MemoryId {
    MemoryId::Extent { end, number }
}

/// The offer of a function; or, for a name that ends in a dot, of one for each name under that prefix.
fn offer_of(gate: &str, schema: SchemaSource, encodings: Encodings) -> GateToBroker {
    GateToBroker::Provide {
        request: 1,
        gate: gate.into(),
        prefix: gate.ends_with('.'),
        kind: CallKind::Function,
        schema,
        signature: "(u8)".into(),
        encodings,
        record: None,
        life: None,
    }
}

/// The offer of one half of a gate. With a life, it is that of a plugin that comes back.
fn offer(request: u32, gate: &str, kind: CallKind, life: Option<u64>) -> GateToBroker {
    GateToBroker::Provide {
        request,
        gate: gate.into(),
        prefix: gate.ends_with('.'),
        kind,
        schema: SchemaSource::Inline(schema_of(7)),
        signature: "(u8)".into(),
        encodings: Encodings::ARCHIVE,
        record: None,
        life,
    }
}

struct World {
    bus: Bus,
    now: Instant,
}

impl World {
    fn new(links: u32) -> World {
        World::of(["a", "b"], links, FROM_ONE)
    }

    /// A world with plugins of these names; the first has number 1.
    fn of<const N: usize>(names: [&str; N], links: u32, first: First) -> World {
        let limits = PluginLimits {
            gates: 8,
            opens: 8,
            links,
            extent_mib: 8,
            schema_mib: 1,
            share_mib: 8,
            shares: 8,
        };
        let mut world = World {
            bus: Bus::new(limits, STEP, first),
            now: Instant::now(),
        };
        for (id, name) in (1..).map(PluginId).zip(names) {
            world.join(id, name);
        }
        world
    }

    fn join(&mut self, id: PluginId, name: &str) {
        let identity = Identity {
            name: name.into(),
            display_name: name.to_uppercase(),
            version: "1".into(),
            clock: Clock::default(),
        };
        let from = (id.0 as u32, SeenClock::default());
        self.bus.admit(id, identity, from, self.now);
        self.ok(id, SessionToBroker::StatusMapped);
        self.effects();
    }

    fn ok(&mut self, from: PluginId, record: impl Into<ToBroker>) {
        let result = self.bus.record(from, record.into(), self.now);
        assert!(result.is_ok(), "{result:?}");
    }

    fn code_of(&mut self, from: PluginId, record: impl Into<ToBroker>) -> Option<Code> {
        let result = self.bus.record(from, record.into(), self.now);
        result
            .err()
            .and_then(|failure| Code::from_u16(failure.code))
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.bus.next_effect()).collect()
    }

    fn provide(&mut self, from: PluginId, gate: &str) {
        self.ok(from, offer(1, gate, CallKind::Function, None));
    }

    fn withdraw(&mut self, from: PluginId, gate: &str) {
        let withdraw = GateToBroker::Withdraw {
            request: 2,
            gate: gate.into(),
            kind: CallKind::Function,
        };
        self.ok(from, withdraw);
    }

    fn open(&mut self, from: PluginId, open: u32, gate: &str) {
        let open = GateToBroker::Open {
            open,
            gate: gate.into(),
            function: shape(),
            action: shape(),
        };
        self.ok(from, open);
    }

    /// Has the plugins answer everything that they are asked, until nothing is left. Returns the states that they are told.
    fn obedient(&mut self) -> Vec<(PluginId, GateState)> {
        let said = self.obeyed().into_iter();
        let told = said.filter_map(|(to, record)| match record {
            ToPlugin::Gate(GateToPlugin::State { state, .. }) => Some((to, state)),
            _ => None,
        });
        told.collect()
    }

    /// The same, but returns all records.
    fn obeyed(&mut self) -> Vec<(PluginId, ToPlugin)> {
        let mut said = Vec::new();
        while let Some(effect) = self.bus.next_effect() {
            match effect {
                Effect::Make { to, memory, .. } => self.ok(to, mapped(memory, Role::Writer)),
                Effect::Seal(_, memory) => self.bus.memory_sealed(memory, self.now),
                Effect::Peer { to, end, .. } => self.ok(to, peer_mapped(end)),
                Effect::Send(to, record) => {
                    match record {
                        ToPlugin::Link(LinkToPlugin::Grant { end, index, .. }) => {
                            self.ok(to, LinkToBroker::GrantInstalled { end, index });
                        }
                        ToPlugin::Link(LinkToPlugin::Revoke { end, number, .. }) => {
                            self.ok(to, LinkToBroker::Revoked { end, number });
                        }
                        ToPlugin::Link(LinkToPlugin::Refuse { number, .. }) => {
                            self.ok(to, LinkToBroker::Refused { number });
                        }
                        _ => {}
                    }
                    said.push((to, record));
                }
                _ => {}
            }
        }
        said
    }
}
