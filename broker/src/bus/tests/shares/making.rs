//! A share is made once, by one of the plugins that want it.

use super::*;

/// Two plugins that make the same share would each do all the work, and have different ones.
#[test]
fn one_makes_it_and_all_have_it() {
    let mut world = World::shares();
    world.ok(A, want(1, Some(making(7))));
    world.happens([(A, "1: create 2")]);
    world.ok(B, want(3, Some(making(7))));
    world.ok(C, want(4, None));
    world.happens([(C, "4: NOT_READY")]);
    world.ok(A, ShareToBroker::Make { making: 2, len: 70 });
    world.happens([(A, "write 2 of 70")]);
    world.ok(A, ShareToBroker::Written { making: 2 });
    world.happens([(A, "seal 2")]);
    world.sealed(2);
    world.happens([
        (PluginId(0), "1 is at 1"),
        (A, "1: has 1 with 2"),
        (B, "3: has 1 with 2"),
    ]);
    world.ok(C, want(5, None));
    world.happens([(C, "5: has 1 with 2")]);
}

/// A maker that fails, in whatever way, must not keep the others waiting for ever.
#[test]
fn the_next_one_makes_it_whatever_becomes_of_the_first() {
    type Fails = fn(&mut World);
    let ways: [(Fails, Option<&str>); 7] = [
        (|world| world.ok(A, gave_up(2)), None),
        (
            |world| world.ok(A, ShareToBroker::Forgo { request: 1 }),
            None,
        ),
        (
            |world| {
                world.ok(A, ShareToBroker::Make { making: 2, len: 1 });
                world.ok(A, gave_up(2));
            },
            None,
        ),
        (
            |world| {
                world.now += Duration::from_secs(10);
                world.bus.expire(world.now);
            },
            Some("2 dropped: TIMEOUT"),
        ),
        (
            |world| world.ok(A, ShareToBroker::Make { making: 2, len: 0 }),
            Some("2 dropped: INVALID_ARGUMENT"),
        ),
        (
            |world| {
                let len = 8 * MIB + 1;
                world.ok(A, ShareToBroker::Make { making: 2, len });
            },
            Some("2 dropped: OVERLOADED"),
        ),
        (
            |world| {
                world.ok(A, ShareToBroker::Make { making: 2, len: 1 });
                world.ok(A, ShareToBroker::Written { making: 2 });
                let failure = Failure::new(Code::Protocol, "it is mapped still");
                let memory = AnyMemory::Version(2);
                world.bus.memory_given_up(A, memory, failure, world.now);
            },
            Some("2 dropped: PROTOCOL"),
        ),
    ];
    for (at, (fails, told)) in ways.into_iter().enumerate() {
        let mut world = World::shares();
        world.ok(A, want(1, Some(making(7))));
        world.ok(B, want(1, Some(making(7))));
        world.effects();
        fails(&mut world);
        let effects = world.effects();
        let said: Vec<_> = effects.iter().filter_map(short).collect();
        assert_eq!(said.last(), Some(&(B, "1: create 4".into())), "{at}");
        let to_a = said
            .iter()
            .filter(|(who, what)| *who == A && !what.starts_with("write"));
        let to_a: Vec<&str> = to_a
            .map(|(_, what)| &**what)
            .filter(|what| !what.starts_with("seal"))
            .collect();
        assert_eq!(to_a, Vec::from_iter(told), "{at}");
        assert_eq!(world.shares_mib(A), 0, "{at}");
        // Records that have crossed with the end of the making are accepted, and have no effect.
        world.bus.members.get_mut(&A).unwrap().owed += 3;
        world.ok(A, ShareToBroker::Make { making: 2, len: 5 });
        world.ok(A, ShareToBroker::Written { making: 2 });
        world.ok(A, gave_up(2));
        world.happens([]);
        world.ok(A, want(7, Some(making(7))));
        world.ok(B, gave_up(4));
        world.happens([(A, "7: create 6")]);
    }
}

/// The time for writing depends on the length.
#[test]
fn writing_has_its_time_by_its_length() {
    let mut world = World::shares();
    world.bus.members.get_mut(&A).unwrap().share_mib = Quota::new(1000);
    world.ok(A, want(1, Some(making(7))));
    let len = 640 * MIB;
    world.ok(A, ShareToBroker::Make { making: 2, len });
    world.effects();
    world.now += STEP + Duration::from_millis(9_999);
    world.bus.expire(world.now);
    world.happens([]);
    world.now += Duration::from_millis(1);
    world.bus.expire(world.now);
    world.happens([
        (PluginId(0), "let 2 go"),
        (PluginId(0), "end of 1"),
        (A, "2 dropped: TIMEOUT"),
    ]);
}

/// If the maker dies, the next plugin makes the share, and nothing of the first making is left.
#[test]
fn a_maker_may_die_at_each_step() {
    type Step = fn(&mut World);
    let steps: [Step; 3] = [
        |world| {
            let (making, len) = (2, MIB);
            world.ok(A, ShareToBroker::Make { making, len });
        },
        |world| world.ok(A, ShareToBroker::Written { making: 2 }),
        |world| world.sealed(2),
    ];
    for done in 0..=steps.len() {
        let mut world = World::shares();
        world.ok(A, want(1, Some(making(7))));
        world.ok(B, want(1, Some(making(7))));
        for step in &steps[..done] {
            step(&mut world);
        }
        world.effects();
        let gone = Failure::new(Code::ProviderGone, "killed");
        world.bus.remove(A, &gone, world.now);
        let effects = world.effects();
        let said: Vec<_> = effects.iter().filter_map(short).collect();
        let is_next = said.contains(&(B, "1: create 4".into()));
        assert_eq!(is_next, done < 3, "{done}: {said:?}");
        if done == 3 {
            world.ok(C, want(1, None));
            world.happens([(C, "1: has 1 with 2")]);
            world.ok(C, ShareToBroker::Relinquish { share: 1 });
            world.ok(B, ShareToBroker::Relinquish { share: 1 });
        } else {
            world.ok(B, gave_up(4));
        }
        world.all_freed();
        for effect in effects {
            if let Effect::LetGo {
                serial: Some(serial),
                ..
            } = effect
            {
                world.bus.extents_freed(&[serial], world.now);
            }
        }
        // The seal of memory that nobody waits for any more comes late.
        world.sealed(2);
        assert!(
            world.bus.shares.is_empty(),
            "{done}: {:?}",
            world.bus.shares
        );
    }
}

/// If another plugin has published meanwhile, the maker gets that share: there must not be two first versions.
#[test]
fn who_is_overtaken_has_what_is_there() {
    for written in [false, true] {
        let mut world = World::shares();
        world.ok(A, want(1, Some(making(7))));
        if written {
            world.ok(A, ShareToBroker::Make { making: 2, len: 9 });
        }
        world.publishes(B, 3);
        world.effects();
        match written {
            true => world.ok(A, ShareToBroker::Written { making: 2 }),
            false => world.ok(A, ShareToBroker::Make { making: 2, len: 9 }),
        }
        let expected = [
            (PluginId(0), "let 2 go"),
            (PluginId(0), "end of 1"),
            (A, "1: has 4 with 3"),
        ];
        match written {
            true => world.happens(expected),
            false => world.happens([expected[2]]),
        }
        assert_eq!(world.shares_mib(A), 0);
    }
}

/// A wish that is given up while its answer is under way must not leave the plugin as a user that knows nothing of it.
#[test]
fn a_wish_that_is_given_up_crosses_with_its_share() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(5, None));
    world.effects();
    world.ok(B, ShareToBroker::Forgo { request: 5 });
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.happens([(PluginId(0), "end of 1"), (PluginId(0), "let 2 go")]);
    // A request of another plugin under the same number is not affected.
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(5, None));
    world.ok(B, want(6, None));
    world.effects();
    world.ok(B, ShareToBroker::Forgo { request: 6 });
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.happens([]);
}

/// Few versions of one maker are sealed at once, because each takes a thread of its own while the maker keeps the kernel from sealing it.
#[test]
fn few_versions_of_a_maker_are_sealed_at_once() {
    let mut world = World::shares();
    for number in 0..8_u64 {
        let tag = format!("t{number}");
        world.ok(A, want_of(number as u32, (&tag, 7), Some(making(7))));
        let making = 2 * number + 2;
        world.ok(A, ShareToBroker::Make { making, len: 1 });
    }
    let more = |world: &mut World| {
        world.bus.members.get_mut(&A).unwrap().shares = Quota::new(9);
        world.bus.members.get_mut(&A).unwrap().share_mib = Quota::new(9);
        world.ok(A, want_of(20, ("more", 7), Some(making(7))));
        world.ok(A, ShareToBroker::Make { making: 18, len: 1 });
    };
    more(&mut world);
    world.effects();
    for number in 0..9_u64 {
        world.ok(
            A,
            ShareToBroker::Written {
                making: 2 * number + 2,
            },
        );
    }
    let seals = |world: &mut World| {
        let effects = world.effects();
        let seals = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Seal(..)));
        seals.count()
    };
    assert_eq!(seals(&mut world), 8);
    world.sealed(2);
    assert_eq!(seals(&mut world), 1);
}

/// A plugin that publishes, and gives up its wish for the same tag, must not lose what it has published.
#[test]
fn a_wish_that_is_given_up_takes_nothing_else_away() {
    let mut world = World::shares();
    world.ok(B, want(5, Some(making(7))));
    world.ok(B, ShareToBroker::Make { making: 2, len: 1 });
    world.writes_all(B, 2);
    world.publishes(B, 3);
    world.effects();
    assert_eq!(world.shares_mib(B), 2);
    world.ok(B, ShareToBroker::Forgo { request: 5 });
    // The plugin has closed what it was sent in answer to the wish.
    world.happens([(PluginId(0), "let 2 go")]);
    assert_eq!(world.shares_mib(B), 1);
    assert!(
        world
            .bus
            .shares
            .share(1)
            .is_some_and(|share| share.users.contains_key(&B))
    );
}
