//! Which texts are JSON, compared with serde_json.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Texts that are JSON.
const GOOD: [&str; 16] = [
    " \t\r\n1 \t\r\n",
    "-0",
    "0.0e+00",
    "1E5",
    "[ ]",
    "[1 , 2]",
    "{ }",
    r#"{ "a" : [ { } ] , "" : null }"#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u00e4\u0000\uFFFF\ud834\udd1e""#,
    "\"\u{7f}\u{2028}\u{10ffff}\"",
    "\"12345678\"",
    "\"1234567\\u0038\"",
    "true",
    "false",
    "null",
];

/// Texts that are not JSON.
const BAD: [&str; 62] = [
    "",
    " ",
    "nul",
    "nulL",
    "tru",
    "truth",
    "fals",
    "NaN",
    "Infinity",
    "-Infinity",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e5",
    "01",
    "-01",
    "00",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "1 2",
    "1,",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{]",
    "{1:2}",
    "{a:1}",
    "{'a':1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "{\"a\" 1}",
    "\"",
    "\"a",
    "\"\\",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    r#""\ud800""#,
    r#""\udc00""#,
    r#""\ud800\u0041""#,
    r#""\ud800x""#,
    "\"a\nb\"",
    "\"12345678\u{1f}\"",
    "// a\n1",
    "/* a */1",
    "\u{feff}1",
    "1\0",
];

#[test]
fn texts_are_json_or_not_as_for_serde_json() {
    for good in GOOD {
        let value: Value = serde_json::from_str(good).unwrap();
        assert_eq!(read::<Value>(good).unwrap(), value, "{good}");
        // Checked where the value is skipped, too.
        read::<Vec<Skipped>>(&format!("[{good}]")).unwrap();
    }
    for bad in BAD {
        assert!(serde_json::from_str::<Value>(bad).is_err(), "{bad}");
        assert!(refused::<Value>(bad).starts_with("PROTOCOL"), "{bad}");
        for around in [format!("[{bad}]"), format!("{{\"x\":{bad}}}")] {
            // Some of these become JSON with something around them.
            if serde_json::from_str::<Value>(&around).is_err() {
                assert!(
                    refused::<Skipped>(&around).starts_with("PROTOCOL"),
                    "{around}"
                );
            }
        }
    }
}

/// Reading this type skips a value.
struct Skipped;

impl JsonType for Skipped {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.put("null")
    }

    fn read(reader: &mut Reader<'_>) -> Result<Skipped> {
        reader.skip().map(|_| Skipped)
    }
}

#[test]
fn what_is_not_utf_8_is_refused() {
    for bytes in [
        &b"\"\xff\""[..],
        b"\xe4",
        b"\"\xc3",
        b"\"\xed\xa0\x80\"",
        b"\xef\xbb\xbf1",
    ] {
        let error = read_result::<Value>(bytes).unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{bytes:?}");
        assert!(serde_json::from_slice::<Value>(bytes).is_err());
    }
}

/// The end of a run of plain characters is searched for eight bytes at a time.
#[test]
fn every_place_in_a_text_may_have_what_ends_it() {
    for length in 0..40 {
        let plain: String = "aä😀".chars().cycle().take(length).collect();
        for (escaped, meant) in [
            ("", ""),
            ("\\n", "\n"),
            ("\\u0041", "A"),
            ("\u{7f}", "\u{7f}"),
        ] {
            let text = format!("\"{plain}{escaped}{plain}\"");
            assert_eq!(
                read::<String>(&text).unwrap(),
                format!("{plain}{meant}{plain}")
            );
            read::<Skipped>(&text).unwrap();
        }
        for wrong in ["\u{1f}", "\0", "\n", "\""] {
            assert!(read::<String>(&format!("\"{plain}{wrong}{plain}\"")).is_err());
            assert!(read::<Skipped>(&format!("\"{plain}{wrong}{plain}\"")).is_err());
        }
    }
}

#[test]
fn values_of_any_type_keep_their_numbers() {
    for number in [
        "18446744073709551615",
        "-9223372036854775808",
        "1.5",
        "1e+300",
        "-0.0",
        "0",
        "1e16",
    ] {
        let value: Value = read(number).unwrap();
        assert_eq!(
            text(&value),
            text(&serde_json::from_str::<Value>(number).unwrap())
        );
    }
    // As a float, these would be other numbers.
    for lost in ["18446744073709551617", "1e400", "1e-400"] {
        assert!(
            refused::<Value>(lost).starts_with("TYPE_MISMATCH"),
            "{lost}"
        );
    }
}

/// Pieces of which texts are made.
const PIECES: [&str; 34] = [
    "[", "]", "{", "}", ",", ":", " ", "\"", "\\", "\"a\"", "\"b\":", "\"a\":", "0", "1", "-", ".",
    "e", "E", "+", "12", "null", "true", "false", "\\u00", "\\ud834", "\\udd1e", "\n", "\u{1}",
    "é", "[[", "]]", "256", "1.0", "x",
];

prop_compose! {
    /// The text of a value in which some pieces were replaced by others.
    fn almost()(
        start in 0..MODELS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, 0..PIECES.len()), 0..5),
    ) -> String {
        let mut chars: Vec<char> = MODELS[start].chars().collect();
        for (place, removed, piece) in changes {
            let place = place.index(chars.len() + 1);
            let end = chars.len().min(place + removed);
            chars.splice(place..end, PIECES[piece].chars());
        }
        chars.into_iter().collect()
    }
}

const MODELS: [&str; 8] = [
    "",
    "[1,2.5e3,-0.1,\"a\"]",
    r#"{"a":[1,null],"b":{"c":true}}"#,
    r#""\u00e4\ud834\udd1eab""#,
    "[[[[]]],{},[{}]]",
    r#"{"id":3,"type":"x","tags":["a"],"size":9}"#,
    r#"[{"Struct":{"x":1,"y":2}},"Unit",{"New":3}]"#,
    "-12.50E-2",
];

/// Whether two values are equal, except for the last digit of a float: serde_json rounds some floats to the second
/// nearest.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| alike(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// We and serde_json agree on which texts are JSON. We refuse some of those: texts with a number that would
    /// become another one, or with a key twice.
    #[test]
    fn texts_are_taken_as_by_serde_json(text in almost()) {
        match (read::<Value>(&text), serde_json::from_str::<Value>(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert!(alike(&ours, &theirs), "{ours} {theirs}"),
            (Ok(ours), Err(why)) => prop_assert!(false, "{ours} is taken: {why}"),
            (Err(why), Ok(_)) => prop_assert_eq!(why.code(), Code::TypeMismatch, "{}", why),
            (Err(_), Err(_)) => {}
        }
        let is_json = read::<Skipped>(&text).is_ok();
        let has_range = read::<Value>(&text).is_ok_and(|_| true)
            || read::<Value>(&text).is_err_and(|why| why.code() == Code::TypeMismatch);
        prop_assert_eq!(is_json, has_range);
    }
}
