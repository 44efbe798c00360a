//! Many threads, plugins and processes that call one plugin.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code, Subscriber};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{PATIENCE, Process};

use crate::setup::{Mode, SHORT, Setup};

/// How many calls of one gate may be under way on a link: half of what the link allows.
const HALF: usize = 32;

/// Each of many threads gets its own answer.
pub(crate) fn many_threads_get_their_own_answers(mode: Mode) {
    let setup = Setup::new(mode);
    let one = Arc::new(setup.open::<(u64, u64), u64>("S.Add"));
    let threads = (0..8_u64).map(|thread| {
        // Half of the threads share one subscriber object; the others have their own.
        let add = match thread % 2 {
            0 => one.clone(),
            _ => Arc::new(setup.open::<(u64, u64), u64>("S.Add")),
        };
        thread::spawn(move || {
            (0..300_u64).all(|n| add.invoke((thread << 32, n)).unwrap() == (thread << 32) + n)
        })
    });
    let threads: Vec<_> = threads.collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Among callers that call without a pause, each gets its own answers and its share of turns. In every mode the
/// callers are four processes: a provider in the test's process serves all of them in the same way, while the test
/// calls it directly.
pub(crate) fn four_callers_get_their_own_answers_and_their_share(mode: Mode) {
    let setup = Setup::new(mode);
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let mut callers: Vec<_> = (0..4)
        .map(|n| setup.bus.peer("caller", &format!("C{n}"), &["S"]))
        .collect();
    let answered = |caller: &mut Process| {
        // A caller ends by itself at a wrong answer.
        let line = caller.ask("how many?");
        let (answered, gone) = line.split_once(' ').expect("two numbers");
        assert_eq!(gone, "0", "calls that met a death");
        answered.parse::<u64>().expect("a number")
    };
    let mut before: Vec<u64> = callers.iter_mut().map(answered).collect();
    // A caller that gets no processor for a while catches up later; a caller that starves never does.
    await_that("the slowest is a quarter as fast as the fastest", || {
        for n in 0..50 {
            assert_eq!(add.invoke((n, n)).unwrap(), 2 * n);
        }
        thread::sleep(Duration::from_millis(150));
        let now: Vec<u64> = callers.iter_mut().map(answered).collect();
        let made: Vec<u64> = now
            .iter()
            .zip(&before)
            .map(|(now, was)| now - was)
            .collect();
        before = now;
        let (slowest, fastest) = (made.iter().min().unwrap(), made.iter().max().unwrap());
        *slowest > 0 && slowest * 4 >= *fastest
    });
}

/// A plugin that calls without end does not delay the calls of others.
///
/// All calls wait at first. Then 32 calls of one plugin and one of each of two others are served in turns of 16. In
/// direct calls there are no links: each waiting caller gets its turn.
pub(crate) fn a_busy_link_leaves_a_quiet_one_its_turn(mode: Mode) {
    let setup = Setup::new(mode);
    let plugins = ["Before", "Busy", "After"].map(|name| setup.bus.plugin(name));
    let gates = [0, 1, 2].map(|n| open::<(), u64>(&plugins[n], "S.Serial"));
    // On a busy machine threads may arrive too late for their turn, so the test tries again.
    await_that("two calls among 32 others have their turns", || {
        let [before, last, after] = ranks(&setup, &gates);
        assert!(last >= 31, "of 34 calls, 32 ended with number {last}");
        mode == Mode::Direct || before <= 20 && after <= 20
    });
}

/// Calls all gates at once, the second one 32 times. Returns the positions that the last call of each gate had,
/// counted from the first call.
fn ranks(setup: &Setup, gates: &[Subscriber<(), u64>; 3]) -> [u64; 3] {
    let token = CancelToken::new();
    thread::scope(|scope| {
        setup.occupy(scope, &token);
        let busy: Vec<_> = (0..HALF)
            .map(|_| scope.spawn(|| gates[1].invoke(())))
            .collect();
        thread::sleep(SHORT);
        let quiet = [0, 2].map(|n| scope.spawn(move || gates[n].invoke(()).unwrap()));
        thread::sleep(SHORT);
        token.cancel();
        let [before, after] = quiet.map(|call| call.join().unwrap());
        let busy: Vec<u64> = busy
            .into_iter()
            .map(|call| call.join().unwrap().unwrap())
            .collect();
        let first = *busy.iter().min().unwrap();
        let first = first.min(before).min(after);
        let last = *busy.iter().max().unwrap();
        [before, last, after].map(|number| number - first)
    })
}

/// A gate that hangs takes half of a link's slots at most, so calls of other gates are sent. It takes no lock, so the
/// plugin can still call others.
///
/// In direct calls nothing is sent: calls to the same plugin wait for their turn.
pub(crate) fn a_gate_that_hangs_leaves_half_of_the_slots_and_other_plugins_alone(mode: Mode) {
    let setup = Setup::new(mode);
    let _other = setup.bus.peer("provider", "Other", &[]);
    let other = setup.open::<(u64, u64), u64>("Other.Add");
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let token = CancelToken::new();
    let hang = setup.open::<(), ()>("S.UntilCancelled");
    let hang = hang.with_timeout(PATIENCE).with_cancel(&token);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..HALF + 8)
            .map(|_| scope.spawn(|| hang.invoke(()).unwrap_err()))
            .collect();
        let hasty = hang.with_timeout(SHORT);
        await_that("it has all slots that it may have", || {
            let code = hasty.invoke(()).map_err(|error| error.code());
            code == Err(Code::Overloaded) || mode == Mode::Direct && code == Err(Code::Timeout)
        });
        for n in 0..10 {
            let error = add.with_timeout(SHORT).invoke((n, 1)).unwrap_err();
            assert_eq!(
                error.code(),
                Code::Timeout,
                "it was sent, and waits: {error}"
            );
            assert_eq!(other.invoke((n, 2)).unwrap(), n + 2);
        }
        token.cancel();
        for call in calls {
            assert_eq!(call.join().unwrap().code(), Code::Cancelled);
        }
    });
    for n in 0..100 {
        assert_eq!(add.invoke((n, 3)).unwrap(), n + 3);
    }
}
