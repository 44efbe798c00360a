//! Two sides that were built with different types.

use std::time::Instant;

use callgate_client::{Arguments, Code, GateType, Plugin, View, gate_type};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// Types that cannot be converted are reported when the gate is opened: no side reads the other's bytes with its own
/// types.
#[test]
fn differing_types_are_told_when_a_gate_is_opened() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let right = open::<(u64, u64), u64>(&caller, "P.Add");

    fn refused<A: Arguments + Clone, R: GateType>(plugin: &Plugin, arguments: A, code: Code) {
        let wrong = plugin
            .subscriber::<A, R>("P.Add")
            .expect("opening is no error yet");
        let start = Instant::now();
        let error = wrong.wait_ready(PATIENCE).unwrap_err();
        assert!(start.elapsed() < PATIENCE / 2, "waiting cannot help here");
        assert_eq!(error.code(), code);
        assert!(error.message().contains("(u64, u64) -> u64"), "{error}");
        assert!(error.message().contains("plugin `P` "), "{error}");
        let error = wrong.invoke(arguments).err().expect("an error");
        assert_eq!(error.code(), code);
        assert!(!error.may_have_run());
        assert!(wrong.has_function(), "it has one, of whatever types");
    }
    for n in 0..20 {
        refused::<(bool, u64), u64>(&caller, (true, 2), Code::TypeMismatch);
        refused::<(u64, u64), String>(&caller, (1, 2), Code::TypeMismatch);
        refused::<((u64, u64),), u64>(&caller, ((1, 2),), Code::LengthMismatch);
        refused::<(u64,), u64>(&caller, (1,), Code::LengthMismatch);
        refused::<(), u64>(&caller, (), Code::LengthMismatch);
        refused::<(u64, u64, u64), u64>(&caller, (1, 2, 3), Code::LengthMismatch);
        assert_eq!(right.invoke((n, 2)).unwrap(), n + 2);
    }
    // A subscriber with the right types works beside one with wrong types, in one plugin.
    let wrong = caller.subscriber::<(char, u32), u64>("P.Add").unwrap();
    let again = open::<(u64, u64), u64>(&caller, "P.Add");
    assert_eq!(again.invoke((1, 2)).unwrap(), 3);
    assert_eq!(code(wrong.invoke(('1', 2))), Code::TypeMismatch);
}

/// Types are compared field by field: renamed or swapped fields have the same bytes and are still noticed.
#[test]
fn types_are_compared_field_by_field() {
    mod other {
        use super::gate_type;
        #[gate_type]
        pub struct Point {
            pub y: f32,
            pub x: f32,
        }
    }
    #[gate_type]
    struct Point {
        x: f32,
        y: f32,
    }
    #[gate_type]
    struct Renamed {
        x: f32,
        z: f32,
    }
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let _kept = provider
        .provide("P.X", |point: View<'_, Point>| {
            point.x.to_native() - point.y.to_native()
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let right = open::<(Point,), f32>(&caller, "P.X");
    assert_eq!(right.invoke((Point { x: 3.0, y: 1.0 },)).unwrap(), 2.0);
    // Fields are matched by name, so the call is made as JSON.
    let swapped = open::<(other::Point,), f32>(&caller, "P.X");
    assert!(swapped.is_converted() && !right.is_converted());
    let point = other::Point { y: 1.0, x: 3.0 };
    assert_eq!(swapped.invoke((point,)).unwrap(), 2.0);
    let renamed = caller.subscriber::<(Renamed,), f32>("P.X").unwrap();
    let error = renamed.wait_ready(PATIENCE).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("arguments[0].y"), "{error}");
    let renamed = renamed.invoke((Renamed { x: 3.0, z: 1.0 },));
    assert_eq!(code(renamed), Code::TypeMismatch);
}

/// A provider that comes back with other types is not called with the old ones.
#[test]
fn a_gate_that_comes_back_with_other_types_is_not_called() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let numbers = caller
        .subscriber::<(u64,), u64>("P.Twist")
        .unwrap()
        .with_timeout(PATIENCE);
    let texts = caller
        .subscriber::<(String,), String>("P.Twist")
        .unwrap()
        .with_timeout(PATIENCE);
    for n in 0..20 {
        let first = provider.provide("P.Twist", |n: u64| n + 1).unwrap();
        await_that("numbers can be called", || {
            numbers.invoke((n,)).is_ok_and(|m| m == n + 1)
        });
        await_that("texts cannot", || {
            code(texts.invoke(("text".into(),))) == Code::TypeMismatch
        });
        drop(first);
        let second = provider
            .provide("P.Twist", |text: String| text + "!")
            .unwrap();
        await_that("texts can be called", || {
            texts
                .invoke(("text".into(),))
                .is_ok_and(|text| text == "text!")
        });
        await_that("numbers cannot", || {
            code(numbers.invoke((n,))) == Code::TypeMismatch
        });
        drop(second);
    }
}
