//! Results and failures.

use callgate_client::{Blame, Code, HandlerError};
use callgate_tests::shorthand::pattern;
use serde_json::{Value, json};

use crate::setup::{Mode, Setup};

/// An answer arrives whole, for the right call.
pub(crate) fn results_and_large_payloads_arrive(mode: Mode) {
    let setup = Setup::new(mode);
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

/// A handler's failure arrives with its code, message and context.
pub(crate) fn a_failure_arrives_with_code_message_and_context(mode: Mode) {
    let setup = Setup::new(mode);
    let fail = setup.open::<(u64,), u64>("S.Fail");
    let error = fail.invoke((9,)).unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    assert_eq!(error.message(), "there is no slot 9");
    let context = json!({ "handler_code": "NO_SUCH_SLOT", "highest": 7 });
    assert_eq!(error.context(), Some(&context));
    assert!(error.may_have_run());
    assert!(error.to_string().contains("S.Fail"), "{error}");
}

/// If a handler passes on the error of a call that it made with `?`, the error names the gate of that inner call, not
/// the gate that the caller called.
pub(crate) fn what_a_handler_s_own_call_failed_with_names_that_call_s_gate(mode: Mode) {
    let setup = Setup::new(mode);
    let outer = setup.open::<(), ()>("S.Outer");
    let failure = |text: &str, context: Value| {
        let error = outer.invoke(()).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::HandlerError, Some("S.Outer"))
        );
        assert_eq!((error.message(), error.context()), (text, Some(&context)));
        assert_eq!(error.blame(), Blame::Peer);
        assert!(error.may_have_run());
    };
    failure(
        "a handler's use of gate `T.Held` failed: NOT_READY: nobody provides the gate now",
        json!({ "handler_code": "NOT_READY", "inner_gate": "T.Held" }),
    );
    let full = || {
        let error = HandlerError::new("FULL", "no slot is free");
        Err::<(), _>(error.with_context(json!({ "highest": 7 })))
    };
    let held = setup.caller.provide("T.Held", full).unwrap();
    failure(
        "a handler's use of gate `T.Held` failed: FULL: no slot is free",
        json!({ "handler_code": "FULL", "highest": 7, "inner_gate": "T.Held" }),
    );
    drop(held);
    // The error passes through two handlers.
    let _full = setup.caller.provide("T.Full", full).unwrap();
    let next = setup.open::<(), ()>("T.Full");
    let pass_on = move || Ok::<_, HandlerError>(next.invoke(())?);
    let _held = setup.caller.provide("T.Held", pass_on).unwrap();
    failure(
        "a handler's use of gate `T.Full` failed: FULL: no slot is free",
        json!({ "handler_code": "FULL", "highest": 7, "inner_gate": "T.Full" }),
    );
}

/// A handler that panics ends its call, and the plugin lives on.
pub(crate) fn a_panic_ends_the_call_and_nothing_else(mode: Mode) {
    let setup = Setup::new(mode);
    let panic = setup.open::<(String,), u64>("S.Panic");
    for n in 0..20 {
        let error = panic.invoke((format!("oh no {n}"),)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerPanicked);
        assert!(error.message().contains(&format!("oh no {n}")), "{error}");
    }
    let add = setup.open::<(u64, u64), u64>("S.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// A handler knows which plugin called it; a caller cannot claim to be another one.
pub(crate) fn a_handler_knows_its_caller(mode: Mode) {
    let setup = Setup::new(mode);
    let who = setup.open::<(), String>("S.Who");
    assert_eq!(who.invoke(()).unwrap(), "T");
}
