//! Which records about cells are refused, which end a session, and which have only crossed with something.

use super::*;

/// Each reason to refuse an opening. A refused one costs nothing.
#[test]
fn an_opening_is_refused_for_what_it_says() {
    type Change = fn(&mut CellToBroker);
    fn fields(record: &mut CellToBroker) -> (&mut String, &mut u128, &mut u32, &mut bool) {
        match record {
            CellToBroker::Open {
                tag,
                fingerprint,
                len,
                waits,
                ..
            } => (tag, fingerprint, len, waits),
            other => panic!("{other:?}"),
        }
    }
    let cases: [(&str, bool, Change, &str); 9] = [
        (
            "no tag",
            false,
            |open| fields(open).0.clear(),
            "INVALID_ARGUMENT",
        ),
        (
            "a prefix",
            true,
            |open| *fields(open).0 = "a.".into(),
            "INVALID_ARGUMENT",
        ),
        (
            "no bytes",
            true,
            |open| *fields(open).2 = 0,
            "INVALID_ARGUMENT",
        ),
        (
            "too long",
            false,
            |open| *fields(open).2 = 4097,
            "INVALID_ARGUMENT",
        ),
        (
            "another type",
            false,
            |open| *fields(open).1 = 8,
            "SHARE_TYPE_MISMATCH",
        ),
        (
            "another length",
            false,
            |open| *fields(open).2 = 17,
            "SHARE_TYPE_MISMATCH",
        ),
        (
            "another type, to write",
            true,
            |open| *fields(open).1 = 8,
            "SHARE_TYPE_MISMATCH",
        ),
        ("a second writer", true, |_| {}, "ALREADY_PROVIDED"),
        (
            "nobody has written",
            false,
            |open| {
                let (tag, _, _, waits) = fields(open);
                (*tag, *waits) = ("other".into(), false);
            },
            "NOT_READY",
        ),
    ];
    for (what, writes, change, code) in cases {
        let mut world = World::written();
        let mut record = open(5, writes);
        change(&mut record);
        world.ok(B, record);
        let answer = format!("5: {code}");
        let wanted: Vec<_> = world.effects().into_iter().filter_map(short).collect();
        assert_eq!(wanted, [(B, answer)], "{what}");
        assert_eq!(world.charged(B), 0, "{what}");
        // The number is free, because the cell was never open.
        world.ok(B, open(5, false));
        world.wants([(B, "5 reads 0 of a")]);
    }
}

/// Records that no plugin sends that keeps to the protocol.
#[test]
fn wrong_records_end_their_session() {
    let wrong: [(&str, PluginId, CellToBroker); 7] = [
        ("one number twice", A, open(1, false)),
        ("written twice", A, written(1)),
        ("a reader", B, written(5)),
        ("never opened", B, written(6)),
        ("another's", C, written(1)),
        ("closes what never was", B, close(6)),
        ("closes another's", C, close(1)),
    ];
    for (what, plugin, record) in wrong {
        let mut world = World::written();
        world.ok(B, open(5, false));
        let code = world.code_of(plugin, record);
        assert_eq!(code, Some(Code::Protocol), "{what}");
    }
}

/// A plugin may answer about a cell that has ended meanwhile, but not more often than it was asked.
#[test]
fn records_that_have_crossed_do_no_harm() {
    let mut world = World::cells();
    world.ok(A, open(1, true));
    world.now += STEP;
    let now = world.now;
    world.bus.expire(now);
    world.wants([
        (A, "write 0"),
        (A, "drop 0, unmapped"),
        (A, "1 closed: TIMEOUT"),
    ]);
    world.ok(A, written(1));
    world.ok(A, close(1));
    world.wants([]);
    assert_eq!(world.code_of(A, written(1)), Some(Code::Protocol));
    world.ok(B, open(2, true));
    world.wants([(B, "write 1")]);
}

/// A plugin that may only read could otherwise keep others from a tag, by waiting for a cell that nobody writes.
#[test]
fn who_only_waits_keeps_a_tag_from_nobody() {
    let mut world = World::cells();
    let mut other = open(5, false);
    let CellToBroker::Open { fingerprint, .. } = &mut other else {
        unreachable!();
    };
    *fingerprint = 8;
    world.ok(B, other);
    world.wants([]);
    assert!(!world.bus.cells.is_taken(TAG));
    // Nor from plugins that wait for the type that the cell then has.
    world.ok(C, open(6, false));
    world.wants([]);
    world.ok(A, open(1, true));
    world.wants([(B, "5 closed: SHARE_TYPE_MISMATCH"), (A, "write 0")]);
    assert!(world.bus.cells.is_taken(TAG));
    assert_eq!((world.charged(B), world.charged(C)), (0, 1));
    let cell = world.bus.cells.all().next().unwrap().1;
    assert_eq!(cell.kind.fingerprint, 7, "its writer's");
}
