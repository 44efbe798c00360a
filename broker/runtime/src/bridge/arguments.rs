//! Converts the arguments of calls and events for a child. They are texts of JSON arrays, and are not parsed into values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::frame::after_text;

/// The first two elements of a JSON array as they are written, and the number of elements.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elements<'a> {
    pub(crate) first: Option<&'a RawValue>,
    pub(crate) second: Option<&'a RawValue>,
    pub(crate) count: usize,
}

impl<'a> Elements<'a> {
    /// The elements of an array; none if the text is not an array.
    pub(crate) fn of(text: &'a str) -> Elements<'a> {
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_seq(First).unwrap_or_default()
    }
}

struct First;

impl<'de> Visitor<'de> for First {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Elements<'de>, A::Error> {
        let mut elements = Elements {
            first: array.next_element()?,
            second: array.next_element()?,
            count: 0,
        };
        let seen = [elements.first, elements.second];
        elements.count = seen.iter().flatten().count();
        while array.next_element::<IgnoredAny>()?.is_some() {
            elements.count += 1;
        }
        Ok(elements)
    }
}

/// The `params` of a request for a call with these arguments, a JSON array. A single object is used as it is; no arguments make an empty
/// object; anything else becomes `{"args": [...]}`.
pub(crate) fn params(arguments: &str) -> Cow<'_, str> {
    let inner = arguments.trim_ascii();
    let inner = inner
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner.map(str::trim_ascii) {
        Some("") => Cow::Borrowed("{}"),
        Some(only) if is_one_object(only.as_bytes()) => Cow::Borrowed(only),
        _ => Cow::Owned(format!("{{\"args\":{arguments}}}")),
    }
}

/// Whether the elements of an array are one object. The array was checked to be JSON.
fn is_one_object(elements: &[u8]) -> bool {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = elements.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return at == elements.len() && elements[0] == b'{',
            b'}' | b']' => depth -= 1,
            b'"' => at = after_text(elements, at),
            _ => {}
        }
        if depth == 0 {
            // An element that is neither an object nor a list comes first.
            return false;
        }
    }
    false
}

/// The `payload` of an event with these arguments: `null` for none, a single one as it is, otherwise the array.
pub(crate) fn payload<'a>(arguments: &'a str, elements: &Elements<'a>) -> Option<&'a RawValue> {
    match (elements.count, elements.first) {
        (0, _) => Some(RawValue::NULL),
        (1, Some(only)) => Some(only),
        _ => raw(arguments),
    }
}

fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_the_params_and_anything_else_becomes_one() {
        for (arguments, expected) in [
            ("[]", "{}"),
            (" [ ] ", "{}"),
            (r#"[{"a":[1,2]}]"#, r#"{"a":[1,2]}"#),
            (" [\n {\"a\": 1}\t] ", r#"{"a": 1}"#),
            ("[1]", r#"{"args":[1]}"#),
            ("[null]", r#"{"args":[null]}"#),
            (r#"["{"]"#, r#"{"args":["{"]}"#),
            ("[[{}]]", r#"{"args":[[{}]]}"#),
            ("[{},{}]", r#"{"args":[{},{}]}"#),
            (r#"[{"a":"}\"]"},[]]"#, r#"{"args":[{"a":"}\"]"},[]]}"#),
            (r#"[{"a":"}\"]","b":[{}]}]"#, r#"{"a":"}\"]","b":[{}]}"#),
            (r#"["a",{}]"#, r#"{"args":["a",{}]}"#),
            (r#"[{"a":"]"},"b",3]"#, r#"{"args":[{"a":"]"},"b",3]}"#),
        ] {
            assert_eq!(params(arguments), expected);
        }
    }

    #[test]
    fn an_event_has_as_payload_its_only_argument_or_all() {
        for (arguments, expected) in [("[]", "null"), ("[7]", "7"), ("[1, 2]", "[1, 2]")] {
            let payload = payload(arguments, &Elements::of(arguments));
            assert_eq!(payload.unwrap().get(), expected);
        }
        let two = Elements::of(r#"[{"x":1},"2.0"]"#);
        assert_eq!(two.second.map(RawValue::get), Some("\"2.0\""));
        assert_eq!(two.count, 2);
    }
}
