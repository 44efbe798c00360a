//! Results and failures.

use callgate_client::Code;
use callgate_tests::shorthand::pattern;
use serde_json::json;

use crate::setup::{Mode, Setup};

/// An answer that belonged to another call, or was cut off.
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

/// A handler's failure of which only "it failed" came through.
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

/// One bad handler took the plugin down with it.
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

/// A caller that could claim to be another.
pub(crate) fn a_handler_knows_its_caller(mode: Mode) {
    let setup = Setup::new(mode);
    let who = setup.open::<(), String>("S.Who");
    assert_eq!(who.invoke(()).unwrap(), "T");
}
