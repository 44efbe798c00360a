//! What each side can do wrong: row by row the table of the records, as far as the bus decides it.

use super::*;

/// A plugin that names what never existed, or what belongs to another plugin, could end what is not its own.
#[test]
fn what_is_not_its_own_ends_the_session() {
    let mut world = World::shares();
    world.ok(A, want(1, Some(making(7))));
    world.ok(B, want_of(1, ("other", 7), Some(making(7))));
    world.effects();
    let never = |number| {
        [
            ShareToBroker::Make {
                making: number,
                len: 1,
            },
            ShareToBroker::Written { making: number },
            gave_up(number),
        ]
    };
    let named = [
        ShareToBroker::Done { version: 77 },
        ShareToBroker::Relinquish { share: 77 },
    ];
    for record in never(77).into_iter().chain(never(2)).chain(named) {
        let code = world.code_of(B, record.clone());
        assert_eq!(code, Some(Code::Protocol), "{record:?}");
    }
    world.happens([]);
}

/// If a maker could send its records out of order, a share could be registered before it was written.
#[test]
fn steps_out_of_order_end_the_session() {
    let begun = || {
        let mut world = World::shares();
        world.ok(A, want(1, Some(making(7))));
        world
    };
    let make = || ShareToBroker::Make { making: 2, len: 1 };
    let written = || ShareToBroker::Written { making: 2 };
    let mut world = begun();
    assert_eq!(world.code_of(A, written()), Some(Code::Protocol));
    let mut world = begun();
    world.ok(A, make());
    assert_eq!(world.code_of(A, make()), Some(Code::Protocol));
    let mut world = begun();
    world.ok(A, make());
    world.ok(A, written());
    assert_eq!(world.code_of(A, written()), Some(Code::Protocol));
    assert_eq!(world.code_of(A, gave_up(2)), Some(Code::Protocol));
    // No plugin may answer more often than it was asked.
    let mut world = begun();
    world.ok(A, gave_up(2));
    assert_eq!(world.code_of(A, gave_up(2)), Some(Code::Protocol));
}

/// What is impossible is refused before anything is charged or kept for it.
#[test]
fn what_cannot_be_is_refused() {
    let mut world = World::shares();
    let no_parameter = Making {
        schema: SchemaSource::Inline(vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        ..making(7)
    };
    let json = Making {
        form: Form::Json,
        ..making(7)
    };
    let control = Making {
        signature: "[\u{7}]".into(),
        ..making(7)
    };
    let garbage = Making {
        schema: SchemaSource::Inline(vec![1, 2, 3]),
        ..making(7)
    };
    let persistent = Making {
        persistent: true,
        ..making(7)
    };
    for make in [no_parameter, json, control, garbage, persistent] {
        world.ok(A, publish(3, make.clone(), 1));
        world.happens([(A, "3: INVALID_ARGUMENT")]);
        world.ok(A, want(4, Some(make)));
        world.happens([(A, "4: INVALID_ARGUMENT")]);
    }
    let mut hasty = want(1, Some(making(7)));
    if let ShareToBroker::Want { within, .. } = &mut hasty {
        *within = 0;
    }
    world.ok(A, hasty);
    world.ok(A, want(2, Some(making(8))));
    world.ok(A, want_of(3, ("Osc.", 7), None));
    world.ok(
        A,
        ShareToBroker::Remove {
            request: 4,
            tag: TAG.into(),
        },
    );
    world.happens([
        (A, "1: INVALID_ARGUMENT"),
        (A, "2: INVALID_ARGUMENT"),
        (A, "3: INVALID_ARGUMENT"),
        (A, "4: NOT_READY"),
    ]);
    world.ok(A, want(5, Some(making(7))));
    world.ok(A, want(6, Some(making(7))));
    world.happens([(A, "5: create 2"), (A, "6: INVALID_ARGUMENT")]);
    world.ok(A, gave_up(2));
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
    assert_eq!(world.bus.members[&A].shares.used(), 0);
}

/// A maker that keeps the kernel from sealing would occupy a thread of the broker as long as it lives.
#[test]
fn who_hinders_the_seal_is_sent_away() {
    let mut world = World::shares();
    world.ok(A, want(1, Some(making(7))));
    world.ok(A, ShareToBroker::Make { making: 2, len: 1 });
    world.ok(A, ShareToBroker::Written { making: 2 });
    world.effects();
    world.now += STEP * 5;
    world.bus.expire(world.now);
    world.happens([
        (PluginId(0), "let 2 go"),
        (PluginId(0), "end of 1"),
        (A, "2 dropped: TIMEOUT"),
        (A, "ends: TIMEOUT"),
    ]);
}

/// If the memory could not be made, the maker was not sent it, and owes no answer.
#[test]
fn who_gets_no_memory_is_told() {
    let failure = || Failure::new(Code::System, "no descriptor");
    let mut world = World::shares();
    world.ok(A, want(1, Some(making(7))));
    world.ok(A, ShareToBroker::Make { making: 2, len: 1 });
    world.effects();
    world
        .bus
        .memory_not_made(A, AnyMemory::Version(2), failure(), world.now);
    // The share's page may have been made.
    world.happens([(PluginId(0), "end of 1"), (A, "2 dropped: SYSTEM")]);
    world.ok(A, publish(4, making(7), 1));
    world.effects();
    world
        .bus
        .memory_not_made(A, AnyMemory::Version(3), failure(), world.now);
    world.happens([(PluginId(0), "end of 4"), (A, "4: SYSTEM")]);
    assert_eq!(world.bus.members[&A].owed, 0);
    assert_eq!(world.shares_mib(A), 0);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}
