//! Whether everything that calls take has come back.

use std::thread;
use std::time::Duration;

use callgate_client::{Code, Plugin, Subscriber};

use crate::shorthand::{await_that, open, pattern};

/// Calls under way at once that one gate may have on a link: half of what the link has.
const HALF: usize = 32;

/// Takes all slots of the link to the suite's provider at once, and all of its payload area in
/// both directions. Fails the test where any are missing.
#[track_caller]
pub fn expect_all(caller: &Plugin) {
    let hang = ["S.UntilCancelled", "S.Hang"].map(|gate| open(caller, gate));
    // What was given up a moment ago may still be on its way back; what is lost stays lost.
    let mut missing = Vec::new();
    await_that("all slots of the link are free", || {
        missing = without_slot(&hang);
        missing.is_empty()
    });
    let echo = open::<(Vec<u8>,), Vec<u8>>(caller, "S.Echo");
    let bytes = pattern(9, 65_000);
    assert!(echo.invoke((bytes.clone(),)).expect("an echo") == bytes);
}

/// Calls both gates as often at once as they may be called, until all of these time out; gives the
/// codes of those that had no slot.
fn without_slot(hang: &[Subscriber<(), ()>; 2]) -> Vec<Code> {
    let hasty = [0, 1].map(|n| hang[n].with_timeout(Duration::from_millis(250)));
    let codes: Vec<Code> = thread::scope(|scope| {
        let calls: Vec<_> = (0..2 * HALF)
            .map(|n| {
                let hasty = &hasty[n % 2];
                scope.spawn(move || hasty.invoke(()))
            })
            .collect();
        let ended = calls.into_iter().map(|call| call.join().expect("no panic"));
        // Directly, one of them runs to its end, which it never sees.
        ended
            .map(|outcome| outcome.map_or_else(|error| error.code(), |()| Code::Timeout))
            .collect()
    });
    codes
        .into_iter()
        .filter(|code| *code != Code::Timeout)
        .collect()
}
