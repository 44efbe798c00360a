//! JSON of all kinds, for the tests of this folder.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON values whose texts have many characters that must be escaped.
pub(super) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            hash_map(texts(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z._]{0,8}",
        "[\\[\\]{}\"\\\\\\n\\r\\x00\u{2028}é\u{1F600},: ]{0,8}",
    ]
}

/// The same value with white space of all kinds between its tokens.
pub(super) fn loose(value: &Value) -> String {
    serde_json::to_string_pretty(value)
        .unwrap()
        .replace('\n', "\r\n\t")
}

pub(super) fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}
