//! A process that forks and goes on as the child, with all shares and cells of its parent.

use callgate_tests::shares::fill_words;
use callgate_tests::shares::forked::{COPIED, MADE, READ, WRITTEN};
use callgate_tests::{Bus, PATIENCE, programs};

/// A child does not wait for locks that a thread of its parent held, and does not claim that a writer is there from
/// which it can hear nothing.
#[test]
fn a_forked_child_reads_what_it_had_and_has_nothing_more() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Maker");
    let shares = plugin.shares().timeout(PATIENCE);
    let table = shares.create_with(READ, 1000, |words: &mut [u64]| fill_words(READ, 5, words));
    let table = table.unwrap();
    let cell = shares.cell_writer::<u64>(COPIED).unwrap();
    cell.set(&3).unwrap();
    let mut forked = bus.peer("share-forked", "Forked", &[]);
    let (made, mut written) = (
        shares.get::<u64>(MADE).unwrap(),
        shares.cell::<u64>(WRITTEN).unwrap(),
    );
    forked.say("fork");
    assert_eq!(forked.expect_line(), "read 5, made 7");
    for what in [
        "get", "make", "publish", "changed", "watch", "remove", "set", "ended", "copy",
    ] {
        assert_eq!(forked.expect_line(), format!("{what}: CLOSED"));
    }
    assert_eq!(forked.expect_line(), "dropped (false, \"\")");
    // The parent has ended, and what it has made stays with those that have it.
    callgate_tests::shorthand::await_that("its writer has gone", || !written.is_current());
    assert_eq!((made.to_native(), written.get().unwrap()), (7, 7));
    drop((table, cell));
    assert_eq!(forked.expect_line(), "ready");
    assert_eq!(forked.ask("still there"), "OK");
}
