use proptest::prelude::*;

use super::super::testing::{loose, values};
use super::*;

fn nested(open: &str, depth: usize) -> Vec<u8> {
    open.repeat(depth).into_bytes()
}

#[test]
fn the_limit_itself_is_not_deeper() {
    for limit in [1, 2, 127, 128, 1000] {
        for open in ["[", "{", "[ ", "{\"a\":"] {
            assert!(!is_deeper(&nested(open, limit), limit), "{open} {limit}");
            assert!(is_deeper(&nested(open, limit + 1), limit), "{open} {limit}");
        }
    }
}

#[test]
fn brackets_beside_each_other_and_in_texts_are_not_deep() {
    let many = 100_000;
    for text in [
        "[],",
        "{},",
        "\"[\",",
        "\"{[\\\"[[\",",
        "\"\\\\\",[],",
        "\"\\\\\\\"[\",",
    ] {
        let list = format!("[{}1]", text.repeat(many));
        assert!(!is_deeper(list.as_bytes(), 2), "{text}");
    }
    // A text that ends with an escaped backslash ends there: the brackets after it count.
    let hidden = format!("[\"\\\\\",{}", "[".repeat(128));
    assert!(is_deeper(hidden.as_bytes(), 128));
}

#[test]
fn texts_that_do_not_end_end_with_the_input() {
    for text in ["\"", "\"\\", "\"a\\\"", "[[[\"\\"] {
        assert!(!is_deeper(text.as_bytes(), 3), "{text}");
    }
    assert!(!is_deeper(b"]]]][", 1));
}

/// The depth by a recursive function, for comparison.
fn by_recursion(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(by_recursion).max().unwrap_or(0),
        serde_json::Value::Object(fields) => {
            1 + fields.values().map(by_recursion).max().unwrap_or(0)
        }
        _ => 0,
    }
}

proptest! {
    #[test]
    fn the_depth_is_that_of_the_value(value in values(), limit in 0_usize..8) {
        for text in [value.to_string(), loose(&value)] {
            prop_assert_eq!(is_deeper(text.as_bytes(), limit), by_recursion(&value) > limit);
        }
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in "[\\[\\]{}\"\\\\a]{0,60}", limit in 0_usize..8) {
        is_deeper(bytes.as_bytes(), limit);
    }
}
