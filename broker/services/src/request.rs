//! The requests of plugins: each is one JSON object, read field by field.

use std::collections::HashMap;
use std::time::Duration;

use callgate_client::HandlerError;
use serde_json::value::RawValue;

use crate::pairs::{Change, Page};
use crate::refusal::{invalid, too_large};

/// The most bytes of a call's arguments.
const ARGUMENTS: usize = 1 << 20;
/// The most bytes of a key, and of a schedule's name.
const KEY: usize = 512;
/// The most characters of a value: for a text those of the text itself, for everything else those of its JSON.
const VALUE: usize = 65_536;
/// The most keys of one `getMany`.
const MANY: usize = 1_000;
/// The shortest and the longest interval of a schedule, in milliseconds: a second, a year.
const INTERVALS: std::ops::RangeInclusive<u64> = 1_000..=31_536_000_000;

/// A parsed request.
pub(crate) enum Request {
    Get { key: String },
    Set { key: String, value: String },
    Delete { key: String },
    List(Page),
    GetMany { keys: Vec<String> },
    Setting { key: String },
    AllSettings,
    Register { name: String, interval: Duration },
    Unregister { name: String },
}

impl Request {
    /// Whether another request of the same plugin can be done together with this one: both must be changes of one kind.
    pub(crate) fn is_like(&self, next: &Request) -> bool {
        use Request::{Delete, Set};
        matches!(
            (self, next),
            (Set { .. }, Set { .. }) | (Delete { .. }, Delete { .. })
        )
    }

    /// The change of the plugin's pairs that it asks for, if any.
    pub(crate) fn as_change(&self) -> Option<Change<'_>> {
        match self {
            Request::Set { key, value } => Some(Change::Set { key, value }),
            Request::Delete { key } => Some(Change::Delete { key }),
            _ => None,
        }
    }
}

/// A function that parses the arguments of one gate.
pub(crate) type Read = fn(&Fields<'_>) -> Result<Request, HandlerError>;

/// Parses the arguments of a call: a JSON array of one object.
pub(crate) fn read(arguments: &str, read: Read) -> Result<Request, HandlerError> {
    if arguments.len() > ARGUMENTS {
        return Err(too_large("arguments", (ARGUMENTS, "bytes")));
    }
    let parsed = serde_json::from_str::<[HashMap<String, &RawValue>; 1]>(arguments);
    let [fields] = parsed.map_err(|_| invalid("arguments", "not one JSON object"))?;
    read(&Fields(fields))
}

/// `data.kv`
pub(crate) fn kv(fields: &Fields<'_>) -> Result<Request, HandlerError> {
    let request = match &*fields.text("method")? {
        "get" => Request::Get {
            key: fields.key("key")?,
        },
        "set" => Request::Set {
            key: fields.key("key")?,
            value: fields.value()?,
        },
        "delete" => Request::Delete {
            key: fields.key("key")?,
        },
        "list" => Request::List(Page {
            prefix: fields.optional_text("prefix")?.unwrap_or_default(),
            after: fields.optional_text("after")?,
            limit: fields.limit()?,
        }),
        "getMany" => Request::GetMany {
            keys: fields.keys()?,
        },
        _ => {
            let methods = "not one of `get`, `set`, `delete`, `list`, `getMany`";
            return Err(invalid("method", methods));
        }
    };
    Ok(request)
}

/// `data.config`
pub(crate) fn config(fields: &Fields<'_>) -> Result<Request, HandlerError> {
    match &*fields.text("method")? {
        "get" => Ok(Request::Setting {
            key: fields.key("key")?,
        }),
        "getAll" => Ok(Request::AllSettings),
        _ => Err(invalid("method", "not one of `get`, `getAll`")),
    }
}

/// `schedule.register`
pub(crate) fn register(fields: &Fields<'_>) -> Result<Request, HandlerError> {
    let interval = fields.read::<u64>("interval_ms")?;
    match interval.filter(|interval| INTERVALS.contains(interval)) {
        Some(interval) => Ok(Request::Register {
            name: fields.key("name")?,
            interval: Duration::from_millis(interval),
        }),
        None => {
            let (least, most) = (INTERVALS.start(), INTERVALS.end());
            let text = format!("not a whole number from {least} to {most}");
            Err(invalid("interval_ms", &text))
        }
    }
}

/// `schedule.unregister`
pub(crate) fn unregister(fields: &Fields<'_>) -> Result<Request, HandlerError> {
    Ok(Request::Unregister {
        name: fields.key("name")?,
    })
}

/// The fields of a call's object. A field that is null counts as missing, except for `value`.
pub(crate) struct Fields<'a>(HashMap<String, &'a RawValue>);

impl Fields<'_> {
    /// Reads a field. `None` if it is missing or null; an error if it is of another kind.
    fn read<T: serde::de::DeserializeOwned>(&self, field: &str) -> Result<Option<T>, HandlerError> {
        let Some(value) = self.0.get(field) else {
            return Ok(None);
        };
        let unfit = |_| invalid(field, "not of the kind that it has to be");
        serde_json::from_str::<Option<T>>(value.get()).map_err(unfit)
    }

    fn optional_text(&self, field: &str) -> Result<Option<String>, HandlerError> {
        let text = self
            .read::<String>(field)
            .map_err(|_| invalid(field, "not a text"))?;
        match text {
            Some(text) if text.len() > KEY => Err(too_large(field, (KEY, "bytes"))),
            text => Ok(text),
        }
    }

    fn text(&self, field: &str) -> Result<String, HandlerError> {
        let text = self.optional_text(field)?;
        text.ok_or_else(|| invalid(field, "missing"))
    }

    fn key(&self, field: &str) -> Result<String, HandlerError> {
        match self.text(field)? {
            key if key.is_empty() => Err(invalid(field, "empty")),
            key => Ok(key),
        }
    }

    fn keys(&self) -> Result<Vec<String>, HandlerError> {
        let keys = self.read::<Vec<String>>("keys");
        let keys = keys.map_err(|_| invalid("keys", "not a list of texts"))?;
        match keys {
            None => Err(invalid("keys", "missing")),
            Some(keys) if keys.len() > MANY => Err(too_large("keys", (MANY, "keys"))),
            Some(keys) => Ok(keys),
        }
    }

    fn limit(&self) -> Result<Option<usize>, HandlerError> {
        let limit = self.read::<usize>("limit");
        match limit.map_err(|_| invalid("limit", "not a whole number from 1"))? {
            Some(0) => Err(invalid("limit", "not a whole number from 1")),
            limit => Ok(limit),
        }
    }

    fn value(&self) -> Result<String, HandlerError> {
        let value = self.0.get("value");
        checked_value(value.ok_or_else(|| invalid("value", "missing"))?.get())
    }
}

/// Checks a JSON value, and returns the text to store.
pub(crate) fn checked_value(json: &str) -> Result<String, HandlerError> {
    let (characters, text) = match json.starts_with('"') {
        false => (json.chars().count(), json.to_owned()),
        true => {
            let unfit = |_| invalid("value", "not a text that can be kept");
            let value: String = serde_json::from_str(json).map_err(unfit)?;
            // Texts are written anew, so that escapes that are longer than necessary are not stored.
            let text = serde_json::to_string(&value).map_err(unfit)?;
            (value.chars().count(), text)
        }
    };
    match characters <= VALUE {
        true => Ok(text),
        false => Err(too_large("value", (VALUE, "characters"))),
    }
}

/// Checks a key that a host gives.
pub(crate) fn checked_key(key: &str) -> Result<(), HandlerError> {
    match key.len() {
        0 => Err(invalid("key", "empty")),
        length if length > KEY => Err(too_large("key", (KEY, "bytes"))),
        _ => Ok(()),
    }
}
