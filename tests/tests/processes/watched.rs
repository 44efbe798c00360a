//! Supervised programs that hang, and programs that only seem to.

use std::thread;
use std::time::{Duration, Instant};

use callgate::supervision::Restart;
use callgate::{Broker, Supervised};
use callgate_client::{Code, Plugin, Subscriber};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::await_that;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{host, provider};

/// A supervised program that the broker asks often for its pulse.
fn watched() -> (Broker, Plugin, Supervised) {
    let (broker, host) = host();
    let restart = Restart::default()
        .backoff([Duration::from_millis(50)])
        .ask_every(ASK_EVERY)
        .hung_after(HUNG_AFTER);
    let supervised = broker.supervise("P", || provider("P"), restart);
    let supervised = supervised.expect("it can be started");
    let ready = supervised.child().wait_ready(PATIENCE);
    ready.expect("it connects");
    (broker, host, supervised)
}

fn hang(host: &Plugin, timeout: Duration) -> Subscriber<(u64,), ()> {
    let hang = host.subscriber::<(u64,), ()>("P.Hang").expect("opening");
    hang.wait_ready(PATIENCE).expect("it is provided");
    hang.with_timeout(timeout)
}

/// A program hangs if it has not answered for two seconds. No running program is that slow, on any machine.
const ASK_EVERY: Duration = Duration::from_millis(200);
const HUNG_AFTER: u32 = 10;
/// Twice as long as it takes to notice that a program hangs.
const LONG: Duration = Duration::from_secs(5);

fn assert_left_alone(supervised: &Supervised) {
    let status = supervised.status();
    assert_eq!((status.restarts, status.last_fault), (0, None));
}

/// A program whose handler hangs while calls wait for it is started again.
#[test]
fn a_program_whose_handler_hangs_is_started_again_while_calls_wait() {
    let (_broker, host, supervised) = watched();
    let short = hang(&host, Duration::from_millis(50));
    assert_eq!(short.invoke((600_000,)).unwrap_err().code(), Code::Timeout);
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    let add = add.with_timeout(Duration::from_millis(50));
    let begun = Instant::now();
    while add.invoke((1, 2)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", supervised.status());
    }
    let status = supervised.status();
    assert_eq!(status.restarts, 1);
    assert_eq!(status.last_fault.unwrap().code, "HUNG");
}

/// A handler that takes long is left alone while its caller still waits for it.
#[test]
fn a_long_handler_within_its_deadline_is_left_alone() {
    let (_broker, host, supervised) = watched();
    let hang = hang(&host, PATIENCE);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| hang.invoke((LONG.as_millis() as u64,)).unwrap());
        }
    });
    assert_left_alone(&supervised);
}

#[test]
fn a_handler_that_nobody_waits_for_is_left_alone_while_no_call_waits() {
    let (_broker, host, supervised) = watched();
    let short = hang(&host, Duration::from_millis(50));
    let code = short.invoke((LONG.as_millis() as u64,)).unwrap_err().code();
    assert_eq!(code, Code::Timeout);
    thread::sleep(LONG);
    assert_left_alone(&supervised);
}

#[test]
fn an_idle_program_is_left_alone() {
    let (broker, _host, supervised) = watched();
    thread::sleep(LONG);
    assert_left_alone(&supervised);
    let pulse = broker.handle().pulse("P", PATIENCE).unwrap();
    assert_eq!((pulse.is_waiting, pulse.busy_for), (false, 0));
}

/// A process that was stopped, and so answers nobody, is started again.
#[test]
fn a_program_that_is_stopped_is_started_again() {
    let (_broker, host, supervised) = watched();
    let pid = Pid::from_raw(supervised.child().id() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    await_that("it was started again", || supervised.restarts() == 1);
    assert_eq!(supervised.status().last_fault.unwrap().code, "HUNG");
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
}

/// A program in a debugger is not asked for its pulse, and so not killed.
#[test]
fn a_program_that_is_debugged_is_not_asked() {
    let (broker, _host) = host();
    let restart = Restart::default()
        .ask_every(ASK_EVERY)
        .hung_after(HUNG_AFTER);
    let program = || {
        let mut program = provider("P");
        program.env("CALLGATE_DEBUG", "1");
        program
    };
    let supervised = broker.supervise("P", program, restart).unwrap();
    supervised.child().wait_ready(PATIENCE).unwrap();
    let pid = Pid::from_raw(supervised.child().id() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    thread::sleep(LONG);
    assert_left_alone(&supervised);
}

#[test]
fn a_pulse_says_how_many_turns_have_ended_and_who_is_waited_for() {
    let (broker, host, _supervised) = watched();
    let handle = broker.handle();
    let before = handle.pulse("P", PATIENCE).unwrap().turns_ended;
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
    for n in 0..100 {
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
    }
    assert_eq!(
        handle.pulse("P", PATIENCE).unwrap().turns_ended,
        before + 100
    );
    let hang = hang(&host, PATIENCE);
    thread::scope(|scope| {
        scope.spawn(|| hang.invoke((500,)).unwrap());
        let busy_for = || handle.pulse("P", PATIENCE).unwrap().busy_for;
        await_that("a handler runs", || busy_for() > 0);
        assert!(Duration::from_nanos(busy_for()) <= PATIENCE + Duration::from_secs(1));
    });
    let error = handle.pulse("Q", PATIENCE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
}
