//! The fields of a JSON object, whose values are not parsed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::MOST_FIELDS;

/// Up to this many fields each name is compared with all others; beyond, names are hashed.
const FEW: usize = 16;

/// All fields of one object; no name occurs twice.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<Field<'a>>);

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    /// The name as the child wrote it, with its quotes.
    written: &'a str,
    value: &'a RawValue,
}

impl<'a> Fields<'a> {
    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|field| field.name == name);
        found.map(|field| field.value)
    }

    /// Writes an object of the same fields without those named.
    pub(super) fn without(&self, names: &[&str]) -> String {
        let is_kept = |field: &&Field<'_>| !names.contains(&&*field.name);
        let length = |field: &Field<'_>| field.written.len() + field.value.get().len() + 2;
        let length: usize = self.0.iter().filter(is_kept).map(length).sum();
        let mut text = String::with_capacity(length + 2);
        text.push('{');
        for field in self.0.iter().filter(is_kept) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(field.written);
            text.push(':');
            text.push_str(field.value.get());
        }
        text.push('}');
        text
    }

    /// A name that occurs twice. It is refused, because the check could use one of the two values and the service the other.
    fn twice(&self) -> Option<&str> {
        let mut names = self.0.iter().map(|field| &*field.name);
        if self.0.len() > FEW {
            let mut seen = HashSet::with_capacity(self.0.len());
            return names.find(|name| !seen.insert(*name));
        }
        let is_before = |at: usize, name: &str| self.0[..at].iter().any(|field| field.name == name);
        let mut names = names.enumerate();
        names
            .find(|(at, name)| is_before(*at, name))
            .map(|(_, name)| name)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields(Vec::with_capacity(6));
        while let Some((written, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            if fields.0.len() == MOST_FIELDS {
                let reason = format!("it has more than {MOST_FIELDS} fields");
                return Err(A::Error::custom(reason));
            }
            let name =
                text(written).ok_or_else(|| A::Error::custom("a field's name is no text"))?;
            let written = written.get();
            fields.0.push(Field {
                name,
                written,
                value,
            });
        }
        match fields.twice() {
            Some(name) => Err(A::Error::custom(format!(
                "the field `{name}` is there twice"
            ))),
            None => Ok(fields),
        }
    }
}

/// Decodes a value that is a text; `None` if it is something else, or contains half a surrogate pair.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(value.get()).ok().map(Cow::Owned),
    }
}
