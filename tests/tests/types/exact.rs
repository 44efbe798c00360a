//! Plugins that refuse conversion, on either side.

use std::time::Duration;

use callgate_client::Code;
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, programs};

/// If a plugin has turned conversion off, its error says where the types differ.
#[test]
fn who_takes_exact_types_alone_is_not_called_in_json() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let exact = bus.builder("S").direct_calls(direct).exact_only();
        let exact = exact.connect().unwrap();
        let _wide = exact.provide("S.Wide", |n: u32| n).unwrap();
        let caller = bus.plugin("T");
        let wide = caller.subscriber::<(u8,), u64>("S.Wide").unwrap();
        assert!(wide.has_function() && !wide.is_converted());
        let waited = wide.wait_ready(Duration::from_secs(60)).unwrap_err();
        for error in [waited, wide.invoke((1,)).unwrap_err()] {
            assert_eq!(error.code(), Code::TypeMismatch);
            assert!(error.message().contains("arguments[0]"), "{error}");
            assert!(error.message().contains("`exact_only`"), "{error}");
        }
        let own = open::<(u32,), u32>(&caller, "S.Wide");
        assert_eq!(own.invoke((1,)).unwrap(), 1);
    }
}

#[test]
fn who_gives_exact_types_alone_does_not_call_in_json() {
    let bus = Bus::start(programs!());
    let _s = bus.peer("types", "S", &["thread"]);
    let exact = bus.builder("T").exact_only().connect().unwrap();
    let wide = exact.subscriber::<(u8,), u64>("S.Wide").unwrap();
    let error = wide.wait_ready(Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("arguments[0]"), "{error}");
    assert_eq!(code(wide.invoke((1,))), Code::TypeMismatch);
    let own = open::<(u32,), u32>(&exact, "S.Wide");
    assert_eq!(own.invoke((1,)).unwrap(), 1);
    // Other plugins still convert.
    let other = bus.plugin("U");
    assert!(open::<(u8,), u64>(&other, "S.Wide").is_converted());
}
