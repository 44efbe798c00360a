//! Deadlines and giving up.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{CancelToken, Code, Context};
use callgate_tests::shorthand::await_that;
use callgate_tests::{PATIENCE, Process};

use crate::setup::{Mode, SHORT, Setup};

/// A call whose deadline has passed while it waited behind others is not run.
pub(crate) fn an_expired_call_is_not_run(mode: Mode) {
    let setup = Setup::new(mode);
    let serial = setup.open::<(), u64>("S.Serial");
    let token = CancelToken::new();
    thread::scope(|scope| {
        setup.occupy(scope, &token);
        let hasty = serial.with_timeout(SHORT);
        for _ in 0..5 {
            let error = hasty.invoke(()).unwrap_err();
            assert_eq!(error.code(), Code::Timeout, "{error}");
        }
        // The provider reads a coarse clock.
        thread::sleep(SHORT);
        token.cancel();
    });
    assert_eq!(serial.invoke(()).unwrap(), 0, "expired calls were run");
}

/// A call with a zero timeout is never made. Otherwise it would depend on chance whether the provider is awake to
/// answer it.
pub(crate) fn a_call_without_time_is_not_made(mode: Mode) {
    let setup = Setup::new(mode);
    let serial = setup.open::<(), u64>("S.Serial");
    let none = serial.with_timeout(Duration::ZERO);
    // With a zero timeout it reports the present state.
    none.wait_ready(Duration::ZERO).expect("the gate is there");
    for _ in 0..200 {
        let error = none.invoke(()).expect_err("it has no time");
        assert_eq!(error.code(), Code::Timeout, "{error}");
        assert_eq!(error.gate(), Some("S.Serial"));
        assert!(!error.may_have_run(), "{error}");
        let error = none.invoke_ref(&()).expect_err("it has no time");
        assert_eq!(error.code(), Code::Timeout, "{error}");
    }
    assert_eq!(serial.invoke(()).unwrap(), 0, "one of them was run");
    let absent = setup.caller.subscriber::<(), u64>("S.NoSuchGate").unwrap();
    let absent = absent.with_timeout(Duration::ZERO);
    let codes = [
        absent.invoke(()).map(drop),
        absent.wait_ready(Duration::ZERO),
    ];
    assert!(codes.iter().all(|code| {
        let error = code.as_ref().expect_err("nobody provides it");
        error.code() == Code::NotReady
    }));
}

/// A handler sees how much time its caller has left.
pub(crate) fn a_handler_sees_the_time_that_is_left(mode: Mode) {
    let setup = Setup::new(mode);
    let remaining = setup.open::<(), u64>("S.Remaining");
    let short = remaining.with_timeout(Duration::from_secs(5));
    let millis = short.invoke(()).unwrap();
    assert!((3_000..=5_100).contains(&millis), "{millis}");
    let long = remaining.with_timeout(Duration::from_secs(60));
    let millis = long.invoke(()).unwrap();
    assert!((50_000..=60_100).contains(&millis), "{millis}");
}

/// A handler sees that its caller has given up.
pub(crate) fn a_handler_sees_that_nobody_waits(mode: Mode) {
    let setup = Setup::new(mode);
    let until = setup.open::<(), ()>("S.UntilCancelled");
    let until = until.with_timeout(Duration::from_secs(60));
    let saw = setup.open::<(), bool>("S.SawCancel");
    let mut long = until.clone();
    // A thread that gets the processor late gives up before it has called.
    await_that("a handler saw it", || {
        let token = CancelToken::new();
        long = until.with_cancel(&token);
        thread::scope(|scope| {
            let call = scope.spawn(|| long.invoke(()).unwrap_err());
            thread::sleep(SHORT);
            token.cancel();
            assert_eq!(call.join().unwrap().code(), Code::Cancelled);
        });
        saw.invoke(()).unwrap()
    });
    let error = long.invoke(()).unwrap_err();
    assert_eq!(
        error.code(),
        Code::Cancelled,
        "a token is cancelled for good"
    );
    assert!(!error.may_have_run());
}

/// A call that a handler makes ends at the latest when its own caller's deadline passes. Otherwise the handler would
/// wait for the inner call's default timeout and keep its plugin's turn meanwhile.
pub(crate) fn a_nested_call_ends_with_the_call_that_its_handler_serves(mode: Mode) {
    let setup = Setup::vacant(mode);
    let until_late = move |context: Context<'_>| {
        // A direct call returns when its handler does.
        let is_over =
            || context.is_cancelled() || mode == Mode::Direct && context.deadline_passed();
        while !is_over() {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let _gates = (
        setup.caller.provide("T.UntilLate", until_late).unwrap(),
        setup.caller.provide("T.Quick", || {}).unwrap(),
    );
    setup.begin();
    for gate in ["T.UntilLate", "T.Quick"] {
        setup.open::<(), ()>(gate);
    }
    let outcomes = setup.open::<(), Vec<String>>("S.Outcomes");
    let patient = setup.open::<(), ()>("S.Patient");
    let start = Instant::now();
    let mut all = Vec::new();
    await_that("the other side has both gates, too", || {
        // The handler has this much time, much less than the timeouts of its own calls.
        let hasty = patient.with_timeout(Duration::from_millis(200));
        let outcome = hasty.invoke(()).map_err(|error| error.code());
        await_that("the handler is done", || {
            all = outcomes.invoke(()).unwrap();
            !all.is_empty()
        });
        let is_open = all[2] == "OK" && !all[..2].iter().any(|one| one.contains("NOT_READY"));
        // The caller is not always back in time to find that there is no answer yet.
        is_open && outcome.is_ok() == (mode == Mode::Direct)
    });
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    let whose = "of the call that this handler serves";
    match mode {
        Mode::Direct => assert_eq!(all[0], "OK"),
        _ => assert!(
            all[0].starts_with("true TIMEOUT: plugin `T` did not answer before the deadline; this call may have run")
                && all[0].contains(whose),
            "{all:?}"
        ),
    }
    assert!(
        all[1].starts_with("false TIMEOUT") && all[1].contains(whose),
        "{all:?}"
    );
    let way_out = |text: &&String| text.contains("`with_own_deadline` would");
    let told = all.iter().filter(way_out).count();
    assert_eq!(told, if mode == Mode::Direct { 1 } else { 2 }, "{all:?}");
}

/// A pump returns how many calls it has served, and returns at its deadline if none come. The pump of a plugin with
/// another dispatch says so.
pub(crate) fn a_pump_says_how_many_calls_it_served_and_ends_at_its_deadline(mode: Mode) {
    let setup = Setup::new(mode);
    let idle = match setup.plugin_here() {
        Some(plugin) => plugin.pump(Instant::now()).unwrap_err().code().to_string(),
        None => setup.ask("pump").expect("it is a process"),
    };
    if mode != Mode::Pump {
        assert_eq!(idle, "INVALID_ARGUMENT");
        return;
    }
    let (served, millis) = idle.split_once(' ').expect("two numbers");
    assert_eq!(served, "0");
    // It waits for 50 ms. The kernel may delay the thread, but the pump must not return early.
    let millis: u128 = millis.parse().expect("a number");
    assert!((49..PATIENCE.as_millis() / 4).contains(&millis), "{millis}");
    let add = setup.open::<(u64, u64), u64>("S.Add");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..150).for_each(|n| assert_eq!(add.invoke((n, 1)).unwrap(), n + 1)));
        }
    });
    let fail = setup.open::<(u64,), u64>("S.Fail");
    fail.invoke((1,)).unwrap_err();
    // The last call counts when the pump that served it has returned.
    await_that("301 calls are counted", || {
        let pumped: u64 = setup.ask("pumped").unwrap().parse().expect("a number");
        assert!(pumped <= 301, "{pumped}");
        pumped == 301
    });
}

/// A call does not time out while somebody looks at the handler with a debugger.
///
/// The environment variable holds for the caller's whole process, so the caller is a process of its own in every
/// mode.
pub(crate) fn a_debugger_suspends_deadlines(mode: Mode) {
    let setup = Setup::new(mode);
    for (value, expected) in [("0", "TIMEOUT"), ("1", "42")] {
        let mut command = setup.bus.peer_command("stress", "Debugged", &[]);
        command.env("CALLGATE_DEBUG", value);
        let mut caller = Process::spawn(command);
        assert_eq!(caller.expect_line(), "ready");
        let mut outcome = String::new();
        await_that("it has the gate", || {
            outcome = caller.ask("ask S.LateAdd 10");
            !outcome.starts_with("NOT_READY")
        });
        let (outcome, _millis) = outcome.split_once(' ').expect("two words");
        assert_eq!(outcome, expected, "CALLGATE_DEBUG={value}");
        caller.close_input();
        caller.wait();
    }
}
