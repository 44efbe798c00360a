//! Compares values with what a story says.

use serde_json::Value;

/// Whether a value has what `wanted` has: `"*"` is any value, `null` also matches a missing field, and an object may
/// have additional fields.
pub(crate) fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (found, Value::String(any)) if any == "*" => !found.is_null(),
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| has(found.get(key).unwrap_or(&Value::Null), wanted)),
        (Value::Array(found), Value::Array(wanted)) => {
            let are_as_many = found.len() == wanted.len();
            are_as_many
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| has(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// An error if the value lacks something of `wanted`.
pub(crate) fn check(found: &Value, wanted: &Value) -> Result<(), String> {
    match has(found, wanted) {
        true => Ok(()),
        false => Err(format!("found {}", shortened(&found.to_string()))),
    }
}

pub(crate) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(600)]
}
