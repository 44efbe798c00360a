//! Gates that come and go, and their two halves.

use callgate_client::Code;
use callgate_tests::shorthand::await_that;

use crate::setup::{Mode, Setup};

/// A handler may withdraw its own gate, which does not wait for that handler.
pub(crate) fn a_gate_may_withdraw_itself_and_come_back(mode: Mode) {
    let setup = Setup::new(mode);
    let leave = setup.open::<(u64,), (bool, u64)>("S.Leave");
    let register = setup.open::<(), ()>("S.Register");
    for n in 0..10 {
        leave.wait_ready(callgate_tests::PATIENCE).unwrap();
        assert_eq!(leave.invoke((n,)).unwrap(), (true, n));
        await_that("it is gone", || {
            leave.invoke((n,)).unwrap_err().code() == Code::NotReady && !leave.has_function()
        });
        register.invoke(()).unwrap();
    }
}

/// Withdrawing the action leaves the function, and the reverse.
pub(crate) fn the_two_halves_of_a_gate_come_and_go_separately(mode: Mode) {
    let setup = Setup::new(mode);
    let both = setup.open::<(u64,), u64>("S.Both");
    let runs = setup.open::<(), u64>("S.Runs");
    let withdraw = setup.open::<(String,), bool>("S.Withdraw");
    assert_eq!(both.invoke((1,)).unwrap(), 2);
    both.invoke_action((5,)).unwrap();
    assert_eq!(runs.invoke(()).unwrap(), 5);
    assert!(withdraw.invoke(("S.Both action".to_owned(),)).unwrap());
    await_that("the action is gone", || {
        let gone = both.invoke_action((5,)).map_err(|error| error.code());
        gone == Err(Code::NotReady) && !both.has_action()
    });
    assert_eq!(both.invoke((2,)).unwrap(), 3);
    assert!(withdraw.invoke(("S.Both function".to_owned(),)).unwrap());
    await_that("the function is gone", || {
        let gone = both.invoke((5,)).map_err(|error| error.code());
        gone == Err(Code::NotReady) && !both.has_function()
    });
    assert_eq!(runs.invoke(()).unwrap(), 5);
}

/// A function is not run when its gate is called as an action, and the reverse.
pub(crate) fn an_action_is_no_function_and_the_reverse(mode: Mode) {
    let setup = Setup::new(mode);
    let only = setup.open::<(u64,), u64>("S.OnlyAction");
    assert_eq!(only.invoke((1,)).unwrap_err().code(), Code::NotReady);
    only.invoke_action((1,)).unwrap();
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let error = add.invoke_action((1, 2)).unwrap_err();
    assert_eq!(error.code(), Code::NotReady);
}

/// A second plugin cannot take over a gate.
pub(crate) fn a_gate_has_one_owner(mode: Mode) {
    let setup = Setup::new(mode);
    let other = setup.bus.plugin("Other");
    let error = other.provide("S.Add", |a: u64, b: u64| a * b).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyProvided);
    assert!(error.message().contains('S'), "{error}");
    let add = setup.open::<(u64, u64), u64>("S.Add");
    assert_eq!(add.invoke((3, 4)).unwrap(), 7);
    assert_eq!(add.owner().as_deref(), Some("S"));
}
