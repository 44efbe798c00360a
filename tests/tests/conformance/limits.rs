//! Calls that time out while their handlers run on, and gates that allow one call at a time.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, signature_of};
use callgate_layout::clock;
use callgate_tests::suite::later::bytes;
use callgate_tests::{PATIENCE, Process};

use crate::later::{await_held, open, release};
use crate::setup::{Mode, SHORT, Setup};

/// How many times the end of a call is noticed. Only the quickest counts, because the machine may be busy.
const ROUNDS: usize = 10;

/// How long to wait for a handler to notice the end.
const BEGUN_OR_NOT: Duration = Duration::from_secs(1);

/// Makes calls to a gate whose handler runs until no caller waits. `end` ends one, and returns when it did that. The
/// handler notices it within moments, and not before.
fn notices(setup: &Setup, what: &str, mut end: impl FnMut() -> u64) {
    let noticed = setup.open::<(), u64>("S.Noticed");
    let mut took: Vec<_> = (0..ROUNDS)
        .filter_map(|_| {
            let end = end();
            let until = Instant::now() + BEGUN_OR_NOT;
            let mut seen = 0;
            while seen == 0 {
                if Instant::now() >= until {
                    // Its deadline passed before its turn, so its handler never began.
                    return None;
                }
                seen = noticed.invoke(()).unwrap();
            }
            assert!(seen >= end, "{} ns too early", end - seen);
            Some(Duration::from_nanos(seen - end))
        })
        .collect();
    assert!(!took.is_empty(), "none was noticed");
    took.sort();
    println!("{:?}: {what}: {took:?}", setup.mode);
    assert!(took[0] < Duration::from_millis(20), "{took:?}");
}

/// A handler notices that its caller's deadline has passed, also in direct mode, where it would otherwise run for
/// ever.
pub(crate) fn a_handler_sees_within_moments_that_its_call_timed_out(mode: Mode) {
    let setup = Setup::new(mode);
    let notice = setup.open::<(u64, u64), u64>("S.NoticeEnd");
    let notice = notice.with_timeout(SHORT);
    notices(&setup, "a call that timed out", || {
        let deadline = clock::now() + SHORT.as_nanos() as u64;
        // In direct mode the caller is the handler's thread, and gets what the handler returns.
        let outcome = notice.invoke((1, 2)).map_err(|error| error.code());
        let expected = match mode {
            Mode::Direct => Ok(3),
            _ => Err(Code::Timeout),
        };
        assert_eq!(outcome, expected);
        deadline
    });
}

/// The same for a sent call, for which no thread waits.
pub(crate) fn a_handler_sees_within_moments_that_a_sent_call_timed_out(mode: Mode) {
    let setup = Setup::new(mode);
    let notice = open(&setup, "S.NoticeEnd", &signature_of::<(u64, u64), u64>());
    let notice = notice.with_timeout(SHORT);
    notices(&setup, "a sent call that timed out", || {
        let deadline = clock::now() + SHORT.as_nanos() as u64;
        let error = notice.send(&[0; 16]).unwrap().wait().unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        deadline
    });
}

/// The same for a caller that was killed.
pub(crate) fn a_handler_sees_within_moments_that_its_caller_was_killed(mode: Mode) {
    let setup = Setup::new(mode);
    notices(&setup, "a caller that was killed", || {
        let mut caller: Process = setup.bus.peer("stress", "Killed", &[]);
        let millis = PATIENCE.as_millis();
        caller.say(&format!("ask S.NoticeEnd {millis}"));
        thread::sleep(4 * SHORT);
        let end = clock::now();
        caller.kill();
        end
    });
}

/// A call that timed out keeps its permit while its handler runs, so no other call begins beside it.
pub(crate) fn no_call_begins_before_the_late_one_has_ended(mode: Mode) {
    let setup = Setup::new(mode);
    let alone = setup.open::<(u64,), u64>("S.Alone");
    let hasty = alone.with_timeout(SHORT);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..4 {
                    match hasty.invoke((40,)) {
                        // In direct mode a call ends when its handler does.
                        Ok(others) => assert_eq!(others, 0, "{mode:?}"),
                        Err(error) => assert_eq!(error.code(), Code::Timeout, "{error}"),
                    }
                    assert_eq!(alone.invoke((0,)).unwrap(), 0, "another was under way");
                }
            });
        }
    });
}

/// A call that is answered later counts against its gate's limit until it is answered.
pub(crate) fn a_call_that_was_left_for_later_counts_until_it_was_answered(mode: Mode) {
    let setup = Setup::new(mode);
    let later = open(&setup, "S.LaterAlone", &bytes());
    let given_up = later.send(b"given up").unwrap();
    await_held(&setup, 1, 0);
    let others = [1, 2].map(|n| later.send(&[n]).unwrap());
    drop(given_up);
    thread::sleep(SHORT);
    // The call that was given up still counts, and other gates are served.
    await_held(&setup, 1, 1);
    release(&setup);
    // The threads of a pool may take the calls in either order.
    for _ in &others {
        await_held(&setup, 1, 0);
        release(&setup);
    }
    for other in others {
        assert_eq!(*other.wait().unwrap(), *b"released");
    }
}
