//! Outboxes on their way through the stages of memory. Those of extents are tested in `extents/stages.rs`.

use super::*;

const CALLER: LinkEnd = LinkEnd { link: 1, side: 0 };
const PROVIDER: LinkEnd = LinkEnd { link: 1, side: 1 };

fn outbox(end: LinkEnd) -> MemoryId {
    MemoryId::Outbox { end }
}

/// A world in which A has just opened a gate of B.
fn writer() -> World {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.effects();
    world
}

fn sealing() -> World {
    let mut world = writer();
    world.ok(A, outbox_mapped(CALLER));
    assert_eq!(world.effects(), [Effect::Seal(A, outbox(CALLER).into())]);
    world
}

fn sealed() -> World {
    let mut world = sealing();
    world.bus.memory_sealed(outbox(CALLER).into(), world.now);
    assert_eq!(world.effects(), [], "its reader's is not there yet");
    world
}

/// The provider has mapped its caller's outbox, and has installed the grant.
fn reader() -> World {
    let mut world = sealed();
    world.ok(B, outbox_mapped(PROVIDER));
    assert_eq!(world.effects(), [Effect::Seal(B, outbox(PROVIDER).into())]);
    world.bus.memory_sealed(outbox(PROVIDER).into(), world.now);
    let peer = |to, end, peer| Effect::Peer { to, end, peer };
    let effects = world.effects();
    assert_eq!(effects[0], peer(B, PROVIDER, A), "{effects:?}");
    let (end, index) = (PROVIDER, 0);
    world.ok(B, LinkToBroker::GrantInstalled { end, index });
    assert_eq!(world.effects(), []);
    world
}

/// The caller has mapped its provider's outbox.
fn ready() -> World {
    let mut world = reader();
    world.ok(B, peer_mapped(PROVIDER));
    let (to, end, peer) = (A, CALLER, B);
    let effects = [
        Effect::Read(B, outbox(CALLER)),
        Effect::Peer { to, end, peer },
    ];
    assert_eq!(world.effects(), effects);
    world
}

/// All records that a plugin can send about the outbox of A.
fn records() -> [(&'static str, PluginId, MemoryToBroker); 6] {
    let memory = outbox(CALLER);
    let len = callgate_layout::payload::MIN_EXTENT_LEN;
    let failed = |role| MemoryToBroker::Failed {
        memory,
        role,
        failure: Failure::new(Code::System, "no address space"),
    };
    [
        ("mapped", A, outbox_mapped(CALLER)),
        ("failed", A, failed(Role::Writer)),
        ("peer mapped", B, peer_mapped(PROVIDER)),
        ("peer failed", B, failed(Role::Reader)),
        ("wanted", A, MemoryToBroker::Want { memory, len }),
        ("returned", A, MemoryToBroker::Return { memory }),
    ]
}

/// For each stage of the outbox of A: how to get there, and which records are accepted then.
type Reached = (&'static str, fn() -> World, &'static [&'static str]);

const STAGES: [Reached; 5] = [
    ("writer", writer, &["mapped", "failed"]),
    ("sealing", sealing, &[]),
    ("sealed", sealed, &[]),
    ("reader", reader, &["peer mapped", "peer failed"]),
    ("ready", ready, &[]),
];

/// A record that is accepted in the wrong stage could put a link into use before its memory is sealed.
#[test]
fn only_what_is_awaited_of_an_outbox_is_taken() {
    for (stage, reach, may) in STAGES {
        for (what, from, record) in records() {
            let mut world = reach();
            let taken = world.bus.record(from, record.clone().into(), world.now);
            assert_eq!(taken.is_ok(), may.contains(&what), "{stage}: {what}");
            if let Err(failure) = taken {
                assert_eq!(failure.code, Code::Protocol as u16, "{stage}: {what}");
                assert_eq!(world.effects(), [], "{stage}: {what}");
            }
            let other = if from == A { B } else { A };
            let code = reach().code_of(other, record);
            assert_eq!(code, Some(Code::Protocol), "{stage}: {what} by the other");
        }
    }
}

/// A plugin that had no address space for one link was counted as still owing an answer.
#[test]
fn an_outbox_that_cannot_be_mapped_ends_its_link_alone() {
    let ways: [(fn() -> World, usize); 2] = [(writer, 1), (reader, 3)];
    for (reach, which) in ways {
        let mut world = reach();
        let (_, from, failed) = records()[which].clone();
        let owed = world.bus.members[&from].owed;
        let taken = world.bus.record(from, failed.into(), world.now);
        assert_eq!(taken, Ok(Weight::Expected));
        assert_eq!(world.bus.members[&from].owed, owed - 1);
        let effects = world.effects();
        assert!(world.bus.links.is_empty());
        for end in [CALLER, PROVIDER] {
            let is_it = |effect: &Effect| matches!(effect, Effect::LetGo { memory, serial: None, .. } if *memory == outbox(end).into());
            assert!(effects.iter().any(is_it), "{effects:?}");
        }
        let refused = effects.iter().find_map(|effect| match effect {
            Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. })) => {
                Some(failure)
            }
            _ => None,
        });
        let failure = refused.expect("the open is refused");
        assert!(failure.message.contains("no address space"), "{failure:?}");
        // The link is tried again without being asked for.
        world.now = world.bus.next_deadline().expect("a later time");
        world.bus.expire(world.now);
        assert!(world.obedient()[0].1.route.is_some());
    }
}

/// A side of 3 is invalid, but the side opposite to it would pass as valid, and speak for another plugin.
#[test]
fn a_reader_names_an_end_that_there_is() {
    for side in [3, 5, u8::MAX] {
        let end = LinkEnd { link: 1, side };
        let mut world = ready();
        let code = world.code_of(A, mapped(outbox(end), Role::Reader));
        assert_eq!(code, Some(Code::Protocol), "{side}");
    }
    let mut world = ready();
    world.ok(A, mapped(outbox(PROVIDER), Role::Reader));
}
