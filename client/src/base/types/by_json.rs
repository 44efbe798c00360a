//! The serde form of fields in which arrays are nested, which serde has only up to 32 elements: a JSON value.
//!
//! The attribute macro names these two functions at such fields.

use callgate_layout::buffer::Buffer;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;

use crate::base::json::{JsonType, read_result, write_result};

/// Writes the value that the field's JSON is.
pub fn serialize<S: Serializer, T: JsonType>(field: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut json = Buffer::new();
    write_result(field, &mut json, None, usize::MAX).map_err(S::Error::custom)?;
    let value: Value = serde_json::from_slice(&json).map_err(S::Error::custom)?;
    value.serialize(serializer)
}

/// Reads a value whose JSON is the field's.
pub fn deserialize<'de, D: Deserializer<'de>, T: JsonType>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let json = serde_json::to_vec(&value).map_err(D::Error::custom)?;
    read_result(&json).map_err(D::Error::custom)
}
