//! Plugins that do not acknowledge in time.

use super::*;
use callgate_layout::payload::MIN_EXTENT_LEN;

/// The failures with which a plugin's opens are refused, among some effects.
fn refused(effects: &[Effect], plugin: PluginId) -> Vec<Failure> {
    let failures = effects.iter().filter_map(|effect| match effect {
        Effect::Send(to, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. }))
            if *to == plugin =>
        {
            Some(failure.clone())
        }
        _ => None,
    });
    failures.collect()
}

fn expect_timeout(effects: &[Effect], word: &str) {
    let ended = |effect: &Effect| matches!(effect, Effect::End(..));
    assert!(!effects.iter().any(ended), "{effects:?}");
    let refused = refused(effects, A);
    assert_eq!(refused.len(), 1, "{effects:?}");
    assert_eq!(refused[0].code, Code::Timeout as u16);
    let message = &refused[0].message;
    assert!(message.contains("plugin `b` (pid 2)"), "{message}");
    assert!(message.contains(word), "{message}");
}

impl World {
    fn wait_a_step(&mut self) -> Vec<Effect> {
        self.now += STEP;
        self.bus.expire(self.now);
        self.effects()
    }
}

/// A provider that was stopped for two seconds lost its session, and its callers lost it, because another plugin opened its gate.
#[test]
fn who_does_not_map_its_outbox_loses_the_link_alone() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    let end = LinkEnd { link: 1, side: 0 };
    world.ok(A, outbox_mapped(end));
    world.effects();
    expect_timeout(&world.wait_a_step(), "did not map its outbox");
    assert!(world.bus.links.is_empty());
    assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
    // While it does not answer, it is sent nothing more, however often its gate is opened.
    for open in 6..8 {
        world.open(A, open, "g");
        let effects = world.effects();
        expect_timeout(&effects, "does not answer");
        let to_b = |effect: &Effect| matches!(effect, Effect::Make { .. });
        assert!(!effects.iter().any(to_b), "{effects:?}");
    }
    // A record that it sends of its own accord does not show that it has read anything.
    let standing = LinkToBroker::Standing {
        number: 1,
        peer: "a".into(),
        gates: Vec::new(),
    };
    world.ok(B, standing);
    world.open(A, 8, "g");
    expect_timeout(&world.effects(), "does not answer");
    // The provider goes on: its late acknowledgements are taken, and all opens become ready by themselves.
    let end = LinkEnd { link: 1, side: 1 };
    let late = outbox_mapped(end);
    let taken = world.bus.record(B, late.clone().into(), world.now);
    assert_eq!(taken, Ok(Weight::Expected));
    let told = world.obedient();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(
        told.iter()
            .all(|(to, state)| *to == A && state.route.unwrap().end.link == 2)
    );
    world.ok(B, LinkToBroker::Refused { number: 1 });
    assert_eq!(world.code_of(B, late), Some(Code::Protocol), "but once");
}

/// A plugin that acknowledges nothing was sent one outbox after the other, without end.
#[test]
fn who_never_answers_is_sent_one_outbox_for_each_sign_of_life() {
    let mut world = World::new(8);
    world.provide(B, "g");
    let outboxes = |world: &mut World| {
        let (mut count, effects) = (0, world.effects());
        for effect in effects {
            match effect {
                Effect::Make { to: A, memory, .. } => world.ok(A, mapped(memory, Role::Writer)),
                Effect::Make { .. } => count += 1,
                _ => {}
            }
        }
        count
    };
    world.open(A, 1, "g");
    assert_eq!(outboxes(&mut world), 1);
    for open in 2..8 {
        world.wait_a_step();
        world.open(A, open, "g");
        assert_eq!(outboxes(&mut world), 0);
        // The plugin reads what it is sent, but acknowledges nothing.
        world.bus.answers(B, world.now);
        assert_eq!(outboxes(&mut world), 1);
        assert!(world.bus.links.len() == 1 && world.bus.silent.is_empty());
    }
    let why = Failure::new(Code::ProviderGone, "killed");
    world.wait_a_step();
    world.bus.remove(A, &why, world.now);
    world.bus.remove(B, &why, world.now);
    assert!(world.bus.silent.is_empty() && world.bus.retries.is_empty());
}

/// A grant that was late on a link in use ended all calls on that link.
#[test]
fn a_late_grant_fails_only_who_waits_for_it() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    world.provide(B, "h");
    world.open(A, 6, "h");
    let effects = world.effects();
    let granted = effects.iter().find_map(|effect| match effect {
        Effect::Send(B, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) => {
            Some((*end, *index))
        }
        _ => None,
    });
    let (end, index) = granted.unwrap();
    expect_timeout(&world.wait_a_step(), "did not install a grant");
    assert!(world.bus.links.contains_key(&1), "the link is in use");
    // When the gate is opened again, the grant is waited for again, and then given up again.
    world.open(A, 7, "h");
    assert!(world.effects().is_empty());
    let again = world.wait_a_step();
    assert_eq!(refused(&again, A).len(), 2, "{again:?}");
    world.ok(B, LinkToBroker::GrantInstalled { end, index });
    let told = world.obedient();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|(_, state)| state.route.is_some()));
    assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
}

/// The same for a gate of the plugin that opened the link.
#[test]
fn a_late_grant_of_the_opener_fails_only_who_waits_for_it() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    world.provide(A, "back");
    world.open(B, 6, "back");
    world.effects();
    let effects = world.wait_a_step();
    let refused = (refused(&effects, A), refused(&effects, B));
    assert_eq!((refused.0.len(), refused.1.len()), (0, 1), "{effects:?}");
    assert!(refused.1[0].message.contains("plugin `a` (pid 1)"));
}

/// What was noted about a plugin stayed for ever after its end, or was removed with another plugin.
#[test]
fn what_is_noted_of_a_plugin_goes_with_it_alone() {
    let c = PluginId(3);
    for (gone, left) in [(A, (B, c)), (B, (A, c)), (c, (A, B))] {
        let mut world = World::new(8);
        let pairs = [(A, B), (A, c), (B, c)];
        world.bus.retries = pairs.map(|pair| (pair, STEP)).into();
        world.bus.silent = [A, B, c].map(|plugin| (plugin, pairs.into())).into();
        world.bus.forget_late(gone);
        let retries: Vec<_> = world.bus.retries.into_keys().collect();
        assert_eq!(retries, [left]);
        assert!(!world.bus.silent.contains_key(&gone) && world.bus.silent.len() == 2);
        let wanted = world.bus.silent.into_values();
        assert!(wanted.into_iter().all(|pairs| pairs == [left].into()));
    }
}

/// Without delays, a link for which a plugin has no descriptors would be made again and again, or never.
#[test]
fn a_link_that_fails_is_tried_again_less_and_less_often() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.effects();
    let mut pauses = Vec::new();
    for link in 1..8 {
        let failed = LinkToBroker::Failed {
            end: LinkEnd { link, side: 1 },
            failure: Failure::new(Code::System, "no descriptors"),
        };
        world.ok(B, failed);
        let failures = refused(&world.effects(), A);
        assert_eq!(failures[0].code, Code::System as u16);
        let due = world.bus.next_deadline().unwrap();
        pauses.push((due - world.now).as_secs());
        world.now = due;
        world.bus.expire(due);
        world.effects();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
}

fn extent(world: &mut World) -> MemoryId {
    world.provide(B, "g");
    world.open(A, 5, "g");
    let told = world.obedient();
    let end = told[0].1.route.unwrap().end;
    let (memory, len) = (extent_of(end, 0), MIN_EXTENT_LEN);
    world.ok(A, MemoryToBroker::Want { memory, len });
    memory
}

fn refused_extent(effects: &[Effect]) -> Option<&Failure> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Memory(MemoryToPlugin::Refused { failure, .. })) => Some(failure),
        _ => None,
    })
}

/// A plugin that could not map one extent lost its link, with calls of others in flight.
#[test]
fn an_extent_that_one_side_cannot_use_is_only_refused() {
    for role in [Role::Writer, Role::Reader] {
        let mut world = World::new(8);
        let memory = extent(&mut world);
        let from = match role {
            Role::Writer => A,
            Role::Reader => {
                world.effects();
                world.ok(A, mapped(memory, Role::Writer));
                world.bus.memory_sealed(memory.into(), world.now);
                B
            }
        };
        let failed = MemoryToBroker::Failed {
            memory,
            role,
            failure: Failure::new(Code::System, "no address space"),
        };
        assert_eq!(
            world.bus.record(from, failed.clone().into(), world.now),
            Ok(Weight::Expected)
        );
        let effects = world.effects();
        assert!(world.bus.extents.is_empty() && world.bus.links.len() == 1);
        assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
        let closed = |effect: &Effect| matches!(effect, Effect::LetGo { .. });
        assert!(effects.iter().any(closed), "{effects:?}");
        // The writer knows already that it has failed.
        let refused = refused_extent(&effects);
        assert_eq!(refused.is_some(), role == Role::Reader, "{effects:?}");
        if let Some(failure) = refused {
            assert_eq!(failure.code, Code::System as u16);
            let blamed = failure.message.contains("plugin `b` (pid 2)");
            assert!(blamed && failure.message.contains("no address space"));
        }
        assert_eq!(world.code_of(from, failed), Some(Code::Protocol), "twice");
    }
}

/// A reader that was stopped lost its session because another plugin had a large payload for it. Later, the extent was refused to its
/// writer, whose calls had more time than a step. Nor must such a reader have its writer charged for one extent after the other.
#[test]
fn a_late_reader_is_waited_for_and_the_extent_stays_charged_until_it_answers() {
    let mut world = World::new(8);
    let memory = extent(&mut world);
    world.ok(A, mapped(memory, Role::Writer));
    world.bus.memory_sealed(memory.into(), world.now);
    world.effects();
    let used = |world: &World| world.bus.members.get(&A).map(|a| a.extents.used());
    let charged = used(&world);
    for _ in 0..10 {
        assert_eq!(world.wait_a_step(), []);
    }
    assert_eq!((used(&world), charged), (charged, Some(1)));
    world.ok(B, mapped(memory, Role::Reader));
    let effects = world.effects();
    let ready = Effect::Send(A, MemoryToPlugin::Ready { memory }.into());
    assert!(effects.contains(&ready), "{effects:?}");
    assert!(refused_extent(&effects).is_none(), "{effects:?}");
    assert_eq!(used(&world), charged);
}

/// While the reader of an extent is late, its writer must not ask for another one under the same number.
#[test]
fn a_number_whose_reader_is_late_is_not_wanted_again() {
    let mut world = World::new(8);
    let memory = extent(&mut world);
    world.ok(A, mapped(memory, Role::Writer));
    world.bus.memory_sealed(memory.into(), world.now);
    world.wait_a_step();
    let len = MIN_EXTENT_LEN;
    let again = MemoryToBroker::Want { memory, len };
    assert_eq!(world.code_of(A, again), Some(Code::Protocol));
}
