//! What calls give back after their callers have given up.

use std::time::Duration;

use callgate_client::{Code, Plugin, Subscriber};
use callgate_tests::shorthand::pattern;
use callgate_tests::slots::{expect_all, expect_turns};

use crate::setup::{Mode, Setup};

/// The shared memory of a link without extents.
const OUTBOXES: u64 = 2 * 86_016;

/// A gate that takes so many milliseconds and then returns the bytes that it got.
type Late = Subscriber<(u64, Vec<u8>), Vec<u8>>;

/// Calls that time out give back their slots and their payloads' space, and their late answers are not taken for
/// those of later calls. Otherwise a link would be dead after 64 timeouts.
///
/// In direct mode a handler runs on its caller's thread, so nothing can be late.
pub(crate) fn late_answers_are_dropped_and_give_slots_and_payloads_back(mode: Mode) {
    let setup = Setup::new(mode);
    let late: Late = setup.open("S.Late");
    if mode == Mode::Direct {
        let hasty = late.with_timeout(Duration::from_millis(5));
        assert_eq!(hasty.invoke((10, vec![1])).unwrap(), [1]);
        return expect_turns(&setup.caller);
    }
    expect_lateness(&late, 10, 80, (2, 4));
    for _ in 0..4 {
        // Three quarters of the outbox's blocks. The library reclaims them when it needs a slot.
        expect_lateness(&late, 3_000, 16, (2, 4));
        expect_all(&setup.caller);
    }
    // All blocks of both outboxes were needed at once. If one had been missing, there would be an extent.
    assert_eq!(granted(&setup.caller), OUTBOXES, "blocks are missing");

    let whole = pattern(1, 300_000);
    assert!(late.invoke((0, whole.clone())).unwrap() == whole);
    expect_lateness(&late, 300_000, 30, (15, 20));
    assert!(late.invoke((0, whole.clone())).unwrap() == whole);
    expect_all(&setup.caller);
    // Three payloads fit an extent. If none had come back, there would be ten extents on each side.
    let extents = granted(&setup.caller) - OUTBOXES;
    assert!(extents <= 10 << 20, "{extents} bytes of extents");
}

/// Makes calls until so many have timed out before they were answered. Calls with long timeouts come in between, and
/// must get their own answers.
fn expect_lateness(late: &Late, length: usize, calls: u64, (timeout, time): (u64, u64)) {
    let hasty = late.with_timeout(Duration::from_millis(timeout));
    let (mut n, mut failed) = (0, 0);
    while failed < calls {
        assert!(
            n < 50 * calls,
            "only {failed} calls of {length} bytes timed out"
        );
        // A caller that gets no processor time may find its answer there after all.
        match hasty.invoke((time, pattern(n, length))) {
            Ok(bytes) => assert!(bytes == pattern(n, length), "call {n}"),
            Err(error) => {
                failed += 1;
                let known = [Code::Timeout, Code::Overloaded];
                assert!(known.contains(&error.code()), "{error}");
            }
        }
        if n % 8 == 7 {
            let bytes = pattern(1_000 + n, length);
            assert!(
                late.invoke((0, bytes.clone())).unwrap() == bytes,
                "call {n}"
            );
        }
        n += 1;
    }
}

/// The shared memory of all links of the caller, in bytes.
fn granted(caller: &Plugin) -> u64 {
    let listing = caller.list().unwrap();
    let links = listing["links"].as_array().expect("a list").iter();
    let with_provider = links.filter(|link| link["a"] == "S" || link["b"] == "S");
    with_provider
        .filter_map(|link| link["granted_bytes"].as_u64())
        .sum()
}
