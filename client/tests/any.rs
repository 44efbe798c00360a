//! Values of any type as parameters and results.

#![allow(clippy::unwrap_used)]

use callgate::Broker;
use callgate_client::{Code, Context, HandlerError, Json, Plugin, View};
use serde_json::{Value, json};

fn bus(direct: bool) -> (Broker, Plugin, Plugin) {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        let descriptor = broker.connect().unwrap();
        let builder = Plugin::builder(name).direct_calls(direct);
        builder.descriptor(descriptor).connect().unwrap()
    };
    let (a, b) = (join("a"), join("b"));
    (broker, a, b)
}

#[test]
fn handlers_take_and_give_values_of_any_type() {
    for direct in [false, true] {
        let (_broker, a, b) = bus(direct);
        let _same = a.provide("A.Same", |value: Value| value).unwrap();
        let _checked = a.provide("A.Checked", |_: Context<'_>, value: Value, n: u32| {
            let found = value.get(n as usize).cloned();
            found.ok_or_else(|| HandlerError::new("NO_SUCH", "there is none"))
        });
        let _text = a.provide("A.Text", |value: View<'_, Json>| value.as_str().to_owned());
        let same = b.subscriber::<(Json,), Json>("A.Same").unwrap();
        let checked = b.subscriber::<(Json, u32), Json>("A.Checked").unwrap();
        let text = b.subscriber::<(Json,), String>("A.Text").unwrap();
        for value in [
            json!(null),
            json!({ "a": [1, 2.5] }),
            json!("x".repeat(5000)),
        ] {
            assert_eq!(same.invoke((value.clone().into(),)).unwrap().0, value);
            assert_eq!(
                text.invoke((value.clone().into(),)).unwrap(),
                value.to_string()
            );
        }
        let list = || Json(json!([1, "two"]));
        assert_eq!(checked.invoke((list(), 1)).unwrap().0, json!("two"));
        let error = checked.invoke((list(), 2)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerError);
    }
}

/// Arguments that are too deeply nested are an error that says so, and not that they are too long.
#[test]
fn a_value_that_is_too_deep_is_an_error_of_that_call() {
    let (_broker, a, b) = bus(false);
    let _same = a.provide("A.Same", |value: Value| value).unwrap();
    let same = b.subscriber::<(Json,), Json>("A.Same").unwrap();
    let deep = (0..1000).fold(Value::Null, |value, _| Value::Array(vec![value]));
    let error = same.invoke((deep.into(),)).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("more than 64 deep"), "{error}");
    assert!(!error.may_have_run());
    assert_eq!(same.invoke((json!(1).into(),)).unwrap().0, json!(1));
}
