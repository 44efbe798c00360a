//! What plugins are allowed to do, with the broker in the test's process.

use std::sync::Arc;
use std::time::Duration;

use callgate::{Broker, Policy};
use callgate_client::{Code, Result};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::{await_that, code};

use crate::setup::{Mode, Setup};

/// The policy that the suite's provider needs.
fn provider() -> Policy {
    Policy::new().provide("S.*").call("T.*")
}

fn start(mode: Mode) -> (Setup, Arc<Broker>) {
    Setup::ruled(mode, |broker| broker.plugin("S", provider()))
}

/// A plugin may do only what its policy allows.
pub(crate) fn what_a_policy_does_not_allow_is_refused_at_the_grant(mode: Mode) {
    let caller = Policy::new()
        .call("S.Add")
        .call("S.Try")
        .call("S.Who")
        .opens(2);
    let (setup, _broker) = Setup::ruled(mode, |broker| {
        broker.plugin("S", provider()).plugin("T", caller)
    });
    let add = setup.open::<(u64, u64), u64>("S.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    let echo = setup.caller.subscriber::<(Vec<u8>,), Vec<u8>>("S.Echo");
    let error = echo.map(drop).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.to_string().contains("gate.call:S.Echo"), "{error}");
    assert_eq!(code(setup.caller.watch("S.Echo")), Code::PermissionDenied);
    let provide = setup.caller.provide("T.Own", |n: u64| n);
    assert_eq!(code(provide), Code::PermissionDenied);

    let attempt = setup.open::<(String,), String>("S.Try");
    let answer = |gate: &str| attempt.invoke((gate.to_owned(),)).unwrap();
    assert_eq!(answer("S.Another"), "OK");
    assert_eq!(answer("Other.Gate"), "PERMISSION_DENIED");
    // A plugin that is allowed to open gates may open as many as its quota says.
    let third = setup.caller.subscriber::<(), String>("S.Who");
    assert_eq!(code(third), Code::Overloaded);
}

/// When a right to call is taken back, the plugin's calls are refused.
pub(crate) fn a_right_to_call_that_is_taken_back_is_refused_at_the_call_and_may_come_again(
    mode: Mode,
) {
    let (setup, broker) = start(mode);
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let who = setup.open::<(), String>("S.Who");
    for _ in 0..5 {
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        let only_who = Policy::new().call("S.Who").provide("T.*");
        broker.set_policy("T", Some(only_who)).unwrap();
        await_that("it is refused", || is_denied(&add.invoke((1, 2))));
        // The provider refuses at once. The caller's side refuses as soon as it has been told, also while it waits
        // for the gate.
        assert_eq!(code(add.invoke((1, 2))), Code::PermissionDenied);
        await_that("nobody waits for it", || {
            is_denied(&add.wait_ready(PATIENCE))
        });
        assert_eq!(code(add.invoke((1, 2))), Code::PermissionDenied);
        assert_eq!(who.invoke(()).unwrap(), "T");
        broker.set_policy("T", None).unwrap();
        await_that("it is allowed", || add.invoke((1, 2)).is_ok());
    }
}

/// When a plugin may no longer provide a gate, the gate is not called any more.
pub(crate) fn a_right_to_provide_that_is_taken_back_ends_the_gate(mode: Mode) {
    let (setup, broker) = start(mode);
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let attempt = setup.open::<(String,), String>("S.Try");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    let without_add = Policy::new().provide("S.Try").provide("S.Who").call("T.*");
    broker.set_policy("S", Some(without_add)).unwrap();
    await_that("it is gone", || {
        let outcome = add.invoke((1, 2)).map_err(|error| error.code());
        matches!(outcome, Err(Code::NotReady | Code::PermissionDenied))
    });
    await_that("its subscriber has heard of it", || {
        let outcome = add.wait_ready(Duration::from_millis(1));
        outcome.is_err_and(|error| error.code() == Code::NotReady)
    });
    assert_eq!(code(add.invoke((1, 2))), Code::NotReady);
    let answer = attempt.invoke(("S.Another".to_owned(),)).unwrap();
    assert_eq!(answer, "PERMISSION_DENIED", "and it does not come back");
}

fn is_denied<T>(outcome: &Result<T>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| error.code() == Code::PermissionDenied)
}
