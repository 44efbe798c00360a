//! Results, failures, chains.

use std::sync::Arc;
use std::thread;

use callgate_client::{Code, Context, HandlerError};
use callgate_tests::shorthand::pattern;
use serde_json::json;

use crate::setup::Setup;

/// An answer that belonged to another call, or was cut off.
pub(crate) fn results_and_large_payloads_arrive(setup: &Setup) {
    let add = setup.open::<(u64, u64), u64>("S.Add");
    for n in 0..500 {
        assert_eq!(add.invoke((n, 7)).unwrap(), n + 7);
        assert_eq!(add.invoke_ref(&(n, 8)).unwrap(), n + 8);
    }
    let echo = setup.open::<(Vec<u8>,), Vec<u8>>("S.Echo");
    for length in [0, 1, 111, 112, 113, 5_000, 70_000, 300_000] {
        let bytes = pattern(length as u64, length);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes, "{length}");
    }
}

/// A handler's failure of which only "it failed" came through.
pub(crate) fn a_failure_arrives_with_code_message_and_context(setup: &Setup) {
    let fail = setup.open::<(u64,), u64>("S.Fail");
    let error = fail.invoke((9,)).unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    assert_eq!(error.message(), "there is no slot 9");
    let context = json!({ "handler_code": "NO_SUCH_SLOT", "highest": 7 });
    assert_eq!(error.context(), Some(&context));
    assert!(error.may_have_run());
    assert!(error.to_string().contains("S.Fail"), "{error}");
}

/// One bad handler took the plugin down with it.
pub(crate) fn a_panic_ends_the_call_and_nothing_else(setup: &Setup) {
    let panic = setup.open::<(String,), u64>("S.Panic");
    for n in 0..20 {
        let error = panic.invoke((format!("oh no {n}"),)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerPanicked);
        assert!(error.message().contains(&format!("oh no {n}")), "{error}");
    }
    let add = setup.open::<(u64, u64), u64>("S.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// A caller that could claim to be another.
pub(crate) fn a_handler_knows_its_caller(setup: &Setup) {
    let who = setup.open::<(), String>("S.Who");
    assert_eq!(who.invoke(()).unwrap(), "T");
}

/// A called B, B called A, and both waited until the deadline.
pub(crate) fn chains_go_back_and_forth_up_to_64_deep(setup: &Setup) {
    let back = setup.caller.subscriber::<(u64,), u64>("S.Nest").unwrap();
    let step = move |context: Context<'_>, n: u64| match n {
        0 => Ok(u64::from(context.depth())),
        _ => back.invoke((n - 1,)).map_err(HandlerError::from),
    };
    let _nest = setup.caller.provide("T.Nest", step).unwrap();
    let nest = setup.open::<(u64,), u64>("S.Nest");
    setup.open::<(u64,), u64>("T.Nest");
    // The provider hears of the gate on its own.
    callgate_tests::shorthand::await_that("the way back", || nest.invoke((1,)).is_ok());
    for n in [0, 1, 2, 10, 59, 63] {
        assert_eq!(nest.invoke((n,)).unwrap(), n + 1);
    }
    let error = nest.invoke((64,)).unwrap_err();
    let code = &error.context().unwrap()["handler_code"];
    assert_eq!(code, "CALL_DEPTH_EXCEEDED");
    assert_eq!(nest.invoke((3,)).unwrap(), 4);
}

/// Two threads that got each other's answers, or one that got none.
pub(crate) fn many_threads_get_their_own_answers(setup: &Setup) {
    let one = Arc::new(setup.open::<(u64, u64), u64>("S.Add"));
    let threads = (0..8_u64).map(|thread| {
        // Half of them share one subscriber object, the others have their own.
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
