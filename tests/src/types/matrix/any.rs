//! Types that become `any`, and the other way round.

use callgate_client::{Json, gate_type};
use serde_json::json as value;

use super::Change;
use super::form::json;

/// A struct with one field.
#[gate_type]
#[derive(Clone, Debug)]
struct Of<T> {
    n: T,
}

fn of<T>(n: T) -> Of<T> {
    Of { n }
}

#[gate_type]
#[derive(Clone, Debug)]
struct Point {
    x: u8,
    y: Option<u8>,
}

fn any(value: serde_json::Value) -> Json {
    Json::from(value)
}

pub(super) fn changes() -> Vec<Change> {
    let point = |y| Point { x: 1, y };
    vec![
        Change::of(
            "FieldAsAny",
            "A field becomes `Json`, which is any",
            json(of(7_u8), of(any(value!(7)))),
            json(of(any(value!(7))), of(7_u8))
                .but("a text", of(any(value!("7"))), ".n")
                .but_null("null", of(any(value!(null))), ".n"),
        ),
        Change::of(
            "StructAsAny",
            "A struct becomes `Json`",
            json(point(None), any(value!({ "x": 1, "y": null }))),
            json(any(value!({ "x": 1, "z": [] })), point(None))
                .noting("by the rules above")
                .but("a value without a field", any(value!({ "y": 2 })), ".x"),
        ),
    ]
}
