//! Reads typed values from a frame's fields, and words the error for a field of the wrong kind.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::text;
use super::{Failure, Fields, Malformed, NAME_CAP, Overflow};

/// The longest value, in bytes, that an error quotes.
const QUOTED: usize = 40;

/// The fields of one object. An optional field whose value is `null` counts as missing.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, 'f>(pub(super) &'f Fields<'a>);

impl<'a> Source<'a, '_> {
    pub(super) fn get(&self, field: &str) -> Option<&'a RawValue> {
        self.0.get(field).filter(|value| value.get() != "null")
    }

    pub(super) fn text(&self, field: &str) -> Result<Cow<'a, str>, Malformed> {
        let value = self.0.get(field);
        value.and_then(text).ok_or_else(|| match value {
            Some(value) if value.get().starts_with('"') => {
                self.wrong(field, "a string without halves of surrogate pairs")
            }
            _ => self.wrong(field, "a string"),
        })
    }

    /// A text of at most [`NAME_CAP`] bytes.
    pub(super) fn name(&self, field: &str) -> Result<Cow<'a, str>, Malformed> {
        let name = self.text(field)?;
        if name.len() > NAME_CAP {
            let length = name.len();
            return Err(Malformed::new(format_args!(
                "`{field}`: expected a string of at most {NAME_CAP} bytes, found one of {length}"
            )));
        }
        Ok(name)
    }

    /// The id of a frame that may have none.
    pub(super) fn id(&self) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.get("id").map(|_| self.name("id")).transpose()
    }

    pub(super) fn outcome(&self) -> Result<Result<&'a RawValue, Failure<'a>>, Malformed> {
        let Some(error) = self.get("error") else {
            return Ok(Ok(self.get("result").unwrap_or(RawValue::NULL)));
        };
        if !error.get().starts_with('{') {
            return Err(self.wrong("error", "an object with `code` and `message`"));
        }
        let fields = serde_json::from_str(error.get()).map_err(Malformed::new);
        let failure = fields.and_then(|fields| Source(&fields).failure());
        failure.map(Err).map_err(|malformed| {
            let reason = malformed.reason;
            Malformed::new(format_args!("in `error`, {reason}"))
        })
    }

    fn failure(&self) -> Result<Failure<'a>, Malformed> {
        Ok(Failure {
            code: self.text("code")?,
            message: self.text("message")?,
            context: self.get("context"),
        })
    }

    pub(super) fn version(&self) -> Result<Option<&'a RawValue>, Malformed> {
        let version = self.get("version").filter(|value| value.get() != "1");
        match version.map(|value| kind_of(value.get())) {
            None | Some("a number" | "a string") => Ok(version),
            Some(_) => Err(self.wrong("version", "a number or a string")),
        }
    }

    pub(super) fn overflow(&self) -> Result<Option<Overflow>, Malformed> {
        let Some(value) = self.get("overflow_policy") else {
            return Ok(None);
        };
        match text(value).as_deref() {
            Some("drop_oldest") => Ok(Some(Overflow::DropOldest)),
            Some("drop_newest") => Ok(Some(Overflow::DropNewest)),
            Some("mark_unhealthy") => Ok(Some(Overflow::MarkUnhealthy)),
            _ => {
                let allowed = r#""drop_oldest", "drop_newest" or "mark_unhealthy""#;
                Err(self.wrong("overflow_policy", allowed))
            }
        }
    }

    pub(super) fn queue_size(&self) -> Result<Option<u32>, Malformed> {
        let Some(value) = self.get("queue_size") else {
            return Ok(None);
        };
        match value.get().parse() {
            Ok(size) if size > 0 => Ok(Some(size)),
            _ => {
                let expected = format!("a whole number from 1 to {}", u32::MAX);
                Err(self.wrong("queue_size", &expected))
            }
        }
    }

    fn wrong(&self, field: &str, expected: &str) -> Malformed {
        let value = self.0.get(field).map_or("", RawValue::get);
        let found = match kind_of(value) {
            "a string" | "a number" | "a boolean" if value.len() <= QUOTED => value,
            kind => kind,
        };
        Malformed::new(format_args!(
            "`{field}`: expected {expected}, found {found}"
        ))
    }
}

/// The kind of JSON value that a text begins with, in words.
pub(super) fn kind_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        None => "nothing",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) if matches!(text, "true" | "false") => "a boolean",
        Some(_) if text == "null" => "null",
        Some(_) => "what is not JSON",
    }
}
