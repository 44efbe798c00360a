//! `CALLGATE_DEBUG=1`, for people who stop programs in a debugger.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, Process, programs};
use nix::sys::signal::Signal;

const MODES: [&str; 3] = ["thread", "pool", "pump"];

/// A peer with or without suspended deadlines.
fn peer(bus: &Bus, role: &str, (name, more): (&str, &[&str]), debug: bool) -> Process {
    let mut command = bus.peer_command(role, name, more);
    command.env("CALLGATE_DEBUG", if debug { "1" } else { "0" });
    let mut peer = Process::spawn(command);
    assert_eq!(peer.expect_line(), "ready");
    peer
}

/// A caller does not give up while its provider stands in a debugger.
#[test]
fn a_caller_waits_for_who_is_in_a_debugger() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("suite", "S", &["thread"]);
    for (debug, expected) in [(false, "TIMEOUT"), (true, "OK")] {
        let mut hasty = peer(&bus, "hasty", ("Hasty", &[]), debug);
        assert_eq!(hasty.expect_line(), "OK");
        hasty.say("200");
        assert_eq!(hasty.expect_line(), expected, "debug: {debug}");
        hasty.kill();
    }
}

/// A call that has waited while its provider stood in a debugger is run when its turn comes.
#[test]
fn a_call_is_run_though_its_deadline_has_passed() {
    for mode in MODES {
        for debug in [false, true] {
            let bus = Bus::start(programs!());
            let _provider = peer(&bus, "suite", ("S", &[mode]), debug);
            let caller = bus.plugin("Caller");
            let slow = open::<(u64,), u64>(&caller, "S.Slow");
            let runs = open::<(), u64>(&caller, "S.Runs");
            // A pool has three threads, the other modes one.
            let busy = if mode == "pool" { 3 } else { 1 };
            thread::scope(|scope| {
                for _ in 0..busy {
                    scope.spawn(|| slow.invoke((400,)).expect("it is patient"));
                }
                thread::sleep(Duration::from_millis(100));
                let hasty = slow.with_timeout(Duration::from_millis(20));
                assert_eq!(code(hasty.invoke((0,))), Code::Timeout, "{mode}");
            });
            let expected = busy + u64::from(debug);
            await_that("it is run where it is to be", || {
                runs.invoke(()).expect("it is patient") >= expected
            });
            assert_eq!(runs.invoke(()).unwrap(), expected, "{mode}, debug: {debug}");
        }
    }
}

/// A plugin does not give up while its host, and with it the broker, stands at a breakpoint.
#[test]
fn a_plugin_waits_for_a_broker_in_a_debugger() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("suite", "S", &["thread"]);
    let broker = bus.broker.as_ref().expect("it runs");
    for (debug, expected) in [(false, "TIMEOUT"), (true, "OK")] {
        broker.stop();
        let mut hasty = peer(&bus, "hasty", ("Hasty", &[]), debug);
        if debug {
            thread::sleep(Duration::from_millis(1500));
            broker.signal(Signal::SIGCONT);
        }
        assert_eq!(hasty.expect_line(), expected, "debug: {debug}");
        broker.signal(Signal::SIGCONT);
        hasty.kill();
    }
}
