//! Deadlines and giving up.

use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code};
use callgate_tests::shorthand::await_that;

use crate::setup::Setup;

const SHORT: Duration = Duration::from_millis(15);

/// A call that nobody waited for any more was run nevertheless, after those before it.
pub(crate) fn an_expired_call_is_not_run(setup: &Setup) {
    let slow = setup.open::<(u64,), u64>("S.Slow");
    let runs = setup.open::<(), u64>("S.Runs");
    thread::scope(|scope| {
        // A pool has three threads, the others one.
        let busy = (0..3).map(|_| scope.spawn(|| slow.invoke((300,)).unwrap()));
        let busy: Vec<_> = busy.collect();
        thread::sleep(SHORT);
        let hasty = slow.with_timeout(SHORT);
        for _ in 0..5 {
            assert_eq!(hasty.invoke((0,)).unwrap_err().code(), Code::Timeout);
        }
        for call in busy {
            call.join().unwrap();
        }
    });
    assert_eq!(runs.invoke(()).unwrap(), 3);
}

/// Each call that timed out kept its slot, and after 64 of them the link was dead.
pub(crate) fn late_answers_give_their_slots_back(setup: &Setup) {
    let slow = setup.open::<(u64,), u64>("S.Slow");
    if setup.is_direct {
        // A handler runs on its caller's thread: there is nothing that could be late.
        assert_eq!(slow.with_timeout(SHORT).invoke((20,)).unwrap(), 0);
        return;
    }
    let hasty = slow.with_timeout(Duration::from_millis(1));
    for _ in 0..100 {
        // Much longer than the timeout: a caller that was not scheduled meanwhile finds no answer.
        let error = hasty.invoke((10,)).unwrap_err();
        assert!(
            matches!(error.code(), Code::Timeout | Code::Overloaded),
            "{error}"
        );
    }
    let add = setup.open::<(u64, u64), u64>("S.Add");
    for n in 0..200 {
        assert_eq!(add.invoke((n, n)).unwrap(), 2 * n);
    }
}

/// A handler that could not know that it was in a hurry.
pub(crate) fn a_handler_sees_the_time_that_is_left(setup: &Setup) {
    let remaining = setup.open::<(), u64>("S.Remaining");
    let short = remaining.with_timeout(Duration::from_secs(5));
    let millis = short.invoke(()).unwrap();
    assert!((3_000..=5_100).contains(&millis), "{millis}");
    let long = remaining.with_timeout(Duration::from_secs(60));
    let millis = long.invoke(()).unwrap();
    assert!((50_000..=60_100).contains(&millis), "{millis}");
}

/// A handler that worked on for a caller that had given up.
pub(crate) fn a_handler_sees_that_nobody_waits(setup: &Setup) {
    let token = CancelToken::new();
    let until = setup.open::<(), ()>("S.UntilCancelled");
    let long = until
        .with_timeout(Duration::from_secs(60))
        .with_cancel(&token);
    thread::scope(|scope| {
        let call = scope.spawn(|| long.invoke(()).unwrap_err());
        thread::sleep(SHORT);
        token.cancel();
        assert_eq!(call.join().unwrap().code(), Code::Cancelled);
    });
    let saw = setup.open::<(), bool>("S.SawCancel");
    await_that("the handler saw it", || saw.invoke(()).unwrap());
    // A pool's other threads answered all the while.
    assert!(!setup.is_pool || saw.invoke(()).unwrap());
}
