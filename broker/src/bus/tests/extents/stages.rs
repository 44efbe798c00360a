//! Which records about an extent are accepted in each of its stages, and what ends with it.

use super::*;
use callgate_layout::payload::{MAX_EXTENT_LEN, MAX_EXTENTS, MIN_EXTENT_LEN};

/// For each stage: how to get there, and which records about extent 0 are accepted then.
type Reached = (&'static str, fn() -> World, &'static [&'static str]);

const STAGES: [Reached; 8] = [
    ("none", linked, &[]),
    ("waiting", waiting, &[]),
    ("writer", writer, &["mapped", "failed"]),
    ("sealing", sealing, &[]),
    ("reader", reader, &["peer mapped", "peer failed"]),
    ("ready", ready, &["returned"]),
    ("returned", returned, &[]),
    ("failed", failed, &[]),
];

fn waiting() -> World {
    let mut world = linked();
    world.make(1, 8);
    world.give_back(1);
    assert_eq!(world.want(0, 4), []);
    world
}

fn writer() -> World {
    let mut world = linked();
    world.want(0, 1);
    world
}

fn sealing() -> World {
    let mut world = writer();
    world.ok(A, written(0));
    world.effects();
    world
}

fn reader() -> World {
    let mut world = sealing();
    world.bus.memory_sealed(own(0).into(), world.now);
    world.effects();
    world
}

fn ready() -> World {
    let mut world = linked();
    world.make(0, 1);
    world
}

fn returned() -> World {
    let mut world = ready();
    world.give_back(0);
    world
}

fn failed() -> World {
    let mut world = writer();
    let failure = Failure::new(Code::System, "no memory");
    world
        .bus
        .memory_not_made(A, own(0).into(), failure, world.now);
    world.effects();
    world
}

/// All records that a plugin can send about extent 0 of A.
fn records() -> [(&'static str, PluginId, MemoryToBroker); 5] {
    let memory = own(0);
    let failed = |role| MemoryToBroker::Failed {
        memory,
        role,
        failure: Failure::new(Code::System, "no"),
    };
    [
        ("mapped", A, written(0)),
        ("returned", A, MemoryToBroker::Return { memory }),
        ("failed", A, failed(Role::Writer)),
        ("peer mapped", B, mapped(memory, Role::Reader)),
        ("peer failed", B, failed(Role::Reader)),
    ]
}

/// A record that is accepted in the wrong stage would skip a check of the memory, or free memory in use.
#[test]
fn only_what_is_awaited_is_taken() {
    for (stage, reach, may) in STAGES {
        for (what, from, record) in records() {
            let mut world = reach();
            let taken = world.bus.record(from, record.into(), world.now);
            assert_eq!(taken.is_ok(), may.contains(&what), "{stage}: {what}");
            if let Err(failure) = taken {
                assert_eq!(failure.code, Code::Protocol as u16, "{stage}: {what}");
                assert_eq!(world.effects(), [], "{stage}: {what}");
            }
        }
    }
}

/// The plugin at the other end of a link must not answer for its peer.
#[test]
fn each_side_acknowledges_for_itself() {
    for (stage, reach, _) in STAGES {
        for (what, from, record) in records() {
            let other = if from == A { B } else { A };
            let mut world = reach();
            let code = world.code_of(other, record);
            assert_eq!(code, Some(Code::Protocol), "{stage}: {what}");
        }
    }
}

/// A number or a length outside of its bounds would get to the shell, or into the peer's table.
#[test]
fn each_bound_of_a_wanted_extent_holds_alone() {
    let len = MIN_EXTENT_LEN;
    for (number, len, may) in [
        (0, len, true),
        (MAX_EXTENTS - 1, len, true),
        (MAX_EXTENTS, len, false),
        (u8::MAX, len, false),
        (0, len - 1, false),
        (0, len + 1, false),
        (0, 1 << 20, false),
        (0, 0, false),
        (0, extent_len(3), false),
        (0, MAX_EXTENT_LEN, true),
        (0, MAX_EXTENT_LEN + 1, false),
        (0, extent_len(128), false),
    ] {
        let mut world = linked();
        let memory = own(number);
        let code = world.code_of(A, MemoryToBroker::Want { memory, len });
        let expected = if may { None } else { Some(Code::Protocol) };
        assert_eq!(code, expected, "{number} {len}");
        assert!(may || world.effects().is_empty(), "{number} {len}");
        assert!(may || world.bus.extents.is_empty(), "{number} {len}");
    }
}

/// A second extent under the same number would replace the first one, and its charge.
#[test]
fn a_number_in_use_is_not_wanted_again() {
    for (stage, reach, _) in STAGES {
        let mut world = reach();
        let (memory, len) = (own(0), MIN_EXTENT_LEN);
        let code = world.code_of(A, MemoryToBroker::Want { memory, len });
        let free = ["none", "returned", "failed"].contains(&stage);
        let expected = if free { None } else { Some(Code::Protocol) };
        assert_eq!(code, expected, "{stage}");
    }
}

/// An extent that could not be made was charged for ever, or its writer waited for ever.
#[test]
fn what_the_broker_cannot_make_is_given_back_and_told() {
    let mut world = writer();
    assert_eq!(world.used(), (1, 1));
    let failure = Failure::new(Code::System, "no descriptors");
    let memory = own(0);
    world
        .bus
        .memory_not_made(A, memory.into(), failure.clone(), world.now);
    let told = MemoryToPlugin::Refused { memory, failure };
    assert_eq!(world.effects(), [Effect::Send(A, told.into())]);
    assert_eq!(world.used(), (0, 0));
    assert!(world.bus.extents.is_empty());
    assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
    assert_eq!(world.bus.extent_bytes(1), 0);
}

/// A deadline that outlives its link would hit the extent of another link. And if charges ended with the link, its plugins could have any
/// amount of memory.
#[test]
fn a_link_that_ends_leaves_charges_and_no_deadlines() {
    for (stage, reach, _) in STAGES {
        let mut world = reach();
        let used = world.used();
        let held = used.0 > 0;
        let failed = LinkToBroker::Failed {
            end: READER,
            failure: Failure::new(Code::Cancelled, "enough"),
        };
        world.ok(B, failed);
        let effects = world.effects();
        assert!(world.bus.links.is_empty() && world.bus.extents.is_empty());
        assert!(world.bus.waiting.is_empty(), "{stage}");
        let let_go = |effect: &&Effect| {
            let is_extent =
                |memory: &AnyMemory| matches!(memory, AnyMemory::Link(MemoryId::Extent { .. }));
            matches!(effect, Effect::LetGo { memory, users: [A, B], serial: Some(_) } if is_extent(memory))
        };
        let is_lost = held && !["waiting", "returned"].contains(&stage);
        let count = effects.iter().filter(let_go).count();
        assert_eq!(count, usize::from(is_lost), "{stage}: {effects:?}");
        assert_eq!(world.used(), used, "{stage}: somebody may still have it");
        // The turn of a writer that allocates may not be over yet.
        world.bus.expire(world.now + Duration::from_millis(100));
        assert_eq!(world.bus.next_deadline(), None, "{stage}");
        assert_eq!(world.effects(), [], "{stage}");
        world.bus.extents_freed(&[1, 2], world.now);
        assert_eq!(world.used(), (0, 0), "{stage}");
    }
}

/// The end of a link took the extents of the next link with it, and named the wrong plugin as their writer.
#[test]
fn a_link_that_ends_takes_only_its_own_extents() {
    let mut world = linked();
    world.provide(A, "own");
    world.open(A, 6, "own");
    world.obedient();
    world.make(0, 1);
    let len = extent_len(1);
    for (from, link, side, number) in [(B, 1, 1, 3), (A, 2, 0, 0), (A, 2, 1, 15)] {
        let memory = extent_of(LinkEnd { link, side }, number);
        world.ok(from, MemoryToBroker::Want { memory, len });
    }
    world.effects();
    let failed = LinkToBroker::Failed {
        end: WRITER,
        failure: Failure::new(Code::Cancelled, "enough"),
    };
    world.ok(A, failed);
    let users = |effect| match effect {
        Effect::LetGo {
            memory: AnyMemory::Link(memory @ MemoryId::Extent { .. }),
            users,
            ..
        } => Some((memory, users)),
        _ => None,
    };
    let gone: Vec<_> = world.effects().into_iter().filter_map(users).collect();
    assert_eq!(gone, [(own(0), [A, B]), (extent_of(READER, 3), [B, A])]);
    assert_eq!(world.bus.extents.len(), 2);
    assert_eq!(world.bus.extent_bytes(2), 2 * u64::from(len));
}
