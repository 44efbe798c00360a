//! Parameters and results: the order in which they are checked, and the errors.

use super::*;
use crate::base::types::SortedMap;

fn arguments<A: Parameters>(text: &str) -> Result<A, Error> {
    read_arguments(text.as_bytes())
}

fn judged<A: Parameters>(text: &str) -> String {
    said(arguments::<A>(text).err().unwrap())
}

fn written<A: Parameters>(value: &A) -> String {
    let mut buffer = Buffer::new();
    write_arguments(value, &mut buffer, None, 1 << 20).unwrap();
    String::from_utf8(buffer.to_vec()).unwrap()
}

#[test]
fn parameters_are_an_array() {
    assert_eq!(written(&()), "[]");
    assert_eq!(written(&(7_u8,)), "[7]");
    assert_eq!(written(&(7_u8, "a".to_owned(), ())), r#"[7,"a",null]"#);
    arguments::<()>(" [ ] ").unwrap();
    assert_eq!(arguments::<(u8,)>("[7]").unwrap(), (7,));
    let all = arguments::<(u8, u8, u8, u8, u8, u8, u8, Option<u8>)>("[1,2,3,4,5,6,7,null]");
    assert_eq!(all.unwrap(), (1, 2, 3, 4, 5, 6, 7, None));
}

/// First the number of parameters is checked, then nulls, then types, from left to right.
#[test]
fn parameters_are_judged_in_this_order() {
    type Two = (u8, String);
    let cases = [
        (
            r#"["x",null,1]"#,
            "LENGTH_MISMATCH: the gate takes 2 parameters, and the call has 3",
        ),
        (
            "[]",
            "LENGTH_MISMATCH: the gate takes 2 parameters, and the call has 0",
        ),
        (
            r#"["x",null]"#,
            "VALUE_NULL: arguments[1]: expected String, found null",
        ),
        (
            r#"[null,null]"#,
            "VALUE_NULL: arguments[0]: expected u8, found null",
        ),
        (
            r#"["x",1]"#,
            "TYPE_MISMATCH: arguments[0]: expected u8, found a text",
        ),
        (
            r#"[1,1.5]"#,
            "TYPE_MISMATCH: arguments[1]: expected String, found 1.5",
        ),
        (
            r#"["x",1"#,
            "PROTOCOL: arguments: no JSON: expected `,` or `]` at byte 6",
        ),
        (
            r#"["x",1]]"#,
            "PROTOCOL: arguments: no JSON: expected the end at byte 7",
        ),
        (
            "",
            "PROTOCOL: arguments: no JSON: expected a value at byte 0",
        ),
        (
            "{}",
            "TYPE_MISMATCH: arguments: expected a list, found an object",
        ),
        ("null", "VALUE_NULL: arguments: expected a list, found null"),
    ];
    for (text, expected) in cases {
        assert_eq!(judged::<Two>(text), expected, "{text}");
    }
    assert_eq!(
        judged::<()>("[1]"),
        "LENGTH_MISMATCH: the gate takes 0 parameters, and the call has 1"
    );
}

#[test]
fn errors_have_a_path_and_a_context() {
    type Deep = (u8, Vec<(String, SortedMap<String, Option<f32>>)>);
    let text = r#"[1,[["a",{}],["b",{"x":null,"left gain":true}]]]"#;
    let error = arguments::<Deep>(text).unwrap_err();
    assert_eq!(
        error.message(),
        r#"arguments[1][1][1]["left gain"]: expected f32, found a truth value"#
    );
    let expected = json!({
        "path": r#"arguments[1][1][1]["left gain"]"#, "expected": "f32", "found": "a truth value",
    });
    assert_eq!(error.context(), Some(&expected));
    assert!(!error.may_have_run());
}

#[test]
fn what_is_too_long_is_not_written() {
    let mut buffer = Buffer::new();
    write_result(&"abc".to_owned(), &mut buffer, None, 5).unwrap();
    assert_eq!(&buffer[..], b"\"abc\"");
    for most in 0..5 {
        let error = write_result(&"abc".to_owned(), &mut buffer, None, most).unwrap_err();
        assert_eq!(error.code(), Code::ResponseTooLarge);
        let error = write_arguments(&(1_u64 << 60,), &mut buffer, None, most).unwrap_err();
        assert_eq!(error.code(), Code::RequestTooLarge);
    }
}
