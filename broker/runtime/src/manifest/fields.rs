//! Values of a manifest together with their keys, so that each error can name the place.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use callgate::shown::{shown, shown_json};
use serde_json::{Map, Value};

use super::error::Wrong;

/// The most characters of a wrong value that an error shows.
const SHOWN_CHARS: usize = 60;

/// A value and the key that leads to it.
pub(super) struct Node<'a> {
    key: String,
    value: &'a Value,
}

/// An object that was checked to have only allowed keys.
pub(super) struct Table<'a> {
    /// The key that leads to the object; empty for the whole document.
    key: String,
    values: &'a Map<String, Value>,
}

impl<'a> Node<'a> {
    pub(super) fn document(value: &'a Value) -> Node<'a> {
        Node {
            key: String::new(),
            value,
        }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The error for a value that is not allowed.
    pub(super) fn wrong(&self, allowed: impl Into<String>) -> Wrong {
        Wrong {
            key: or_document(&self.key),
            found: format!("is {}", describe(self.value)),
            allowed: allowed.into(),
        }
    }

    pub(super) fn any_text(&self) -> Result<&'a str, Wrong> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    /// A text that is not empty and has no NUL, so that it can be passed to the kernel.
    pub(super) fn text(&self) -> Result<&'a str, Wrong> {
        let text = self.value.as_str().unwrap_or_default();
        match text.is_empty() || text.contains('\0') {
            true => Err(self.wrong("a text that is not empty and has no NUL")),
            false => Ok(text),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Wrong> {
        let flag = self.value.as_bool();
        flag.ok_or_else(|| self.wrong("true or false"))
    }

    pub(super) fn number(&self, allowed: RangeInclusive<u64>) -> Result<u64, Wrong> {
        let number = self.value.as_u64();
        let number = number.filter(|number| allowed.contains(number));
        let (least, most) = (allowed.start(), allowed.end());
        number.ok_or_else(|| self.wrong(format!("a whole number from {least} to {most}")))
    }

    pub(super) fn list(&self) -> Result<Vec<Node<'a>>, Wrong> {
        let values = self.value.as_array();
        let values = values.ok_or_else(|| self.wrong("a list"))?.iter();
        let nodes = values.enumerate().map(|(place, value)| Node {
            key: format!("{}[{place}]", self.key),
            value,
        });
        Ok(nodes.collect())
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, Wrong> {
        let texts = self.list()?.into_iter();
        texts.map(|node| Ok(node.any_text()?.to_owned())).collect()
    }

    /// The entries of an object with any keys.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>, Wrong> {
        let values = self.value.as_object();
        let values = values.ok_or_else(|| self.wrong("a table"))?.iter();
        let nodes = values.map(|(name, value)| {
            let key = joined(&self.key, name);
            (name.as_str(), Node { key, value })
        });
        Ok(nodes.collect())
    }

    /// An object, refused if it has a key that is not in `keys`.
    pub(super) fn table(&self, keys: &[&str]) -> Result<Table<'a>, Wrong> {
        let values = self.value.as_object();
        let values = values.ok_or_else(|| self.wrong("a table"))?;
        match values.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(unknown) => Err(Wrong {
                key: joined(&self.key, unknown),
                found: "is unknown".to_owned(),
                allowed: keys.join(", "),
            }),
            None => Ok(Table {
                key: self.key.clone(),
                values,
            }),
        }
    }
}

impl<'a> Table<'a> {
    /// The value of a key; `None` if it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.values.get(name).filter(|value| !value.is_null())?;
        let key = joined(&self.key, name);
        Some(Node { key, value })
    }

    /// The value of a key that must be present.
    pub(super) fn required(&self, name: &str, allowed: &str) -> Result<Node<'a>, Wrong> {
        self.get(name).ok_or_else(|| self.missing(name, allowed))
    }

    pub(super) fn missing(&self, name: &str, allowed: &str) -> Wrong {
        Wrong {
            key: joined(&self.key, name),
            found: "is missing".to_owned(),
            allowed: allowed.to_owned(),
        }
    }

    /// Reads the value of an optional key with `read`.
    pub(super) fn maybe<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Wrong> {
        self.get(name).map(|node| read(&node)).transpose()
    }
}

fn joined(key: &str, name: &str) -> String {
    let name = shortened(name);
    match key.is_empty() {
        true => name,
        false => format!("{key}.{name}"),
    }
}

fn or_document(key: &str) -> String {
    match key.is_empty() {
        true => "the document".to_owned(),
        false => key.to_owned(),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => shown_json(&Value::from(cut(text))),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

/// The beginning of a text from the plugin's author, with control characters escaped so that it can be printed on a terminal.
fn shortened(text: &str) -> String {
    shown(&cut(text)).into_owned()
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
