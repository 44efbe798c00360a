//! Plugins that have no descriptors for a share for a moment.

use callgate_client::Share;
use callgate_tests::shorthand::await_that;

use crate::{bus, cramped, expect_short, tell};

const TAG: &str = "Osc.Table";

/// A plugin without descriptors for a share does not count as its user, nor as one that still writes it.
#[test]
fn who_has_no_descriptors_for_a_share_does_not_have_it() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect S");
    let maker = bus.plugin("Maker");
    let first = maker.shares().publish(TAG, &[7_u32][..]).unwrap();
    let is_there = || maker.shares().try_get::<[u32]>(TAG).unwrap().is_some();
    tell(&mut short, "spare 0");
    expect_short(&short.ask("get Osc.Table"), short.id());
    drop(first);
    await_that("nobody has it", || !is_there());
    expect_short(&short.ask("publish Osc.Table"), short.id());
    tell(&mut short, "free");
    // This works at once: the failed publication is over.
    tell(&mut short, "publish Osc.Table");
    let found: Share<[u32]> = maker.shares().get(TAG).unwrap();
    assert_eq!(found[..], [1, 2, 3]);
    // The present version stays if there is no room for a newer one.
    let second = maker.shares().publish(TAG, &[7_u32][..]).unwrap();
    tell(&mut short, "spare 0");
    expect_short(&short.ask("get Osc.Table"), short.id());
    tell(&mut short, "free");
    drop((found, second));
    assert!(is_there(), "it has the share, though not this version");
    tell(&mut short, "get Osc.Table");
    tell(&mut short, "let-go");
    await_that("nobody has it", || !is_there());
}
