//! The file of a manifest, as a JSON value.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::ManifestError;

/// The most bytes of a manifest: the file comes from the plugin's author, who is not trusted.
const MOST_BYTES: u64 = 1024 * 1024;

/// Reads the manifest of a folder, whichever of the two files it is. Returns the file's path and its content.
pub(super) fn read(folder: &Path) -> Result<(PathBuf, Value), ManifestError> {
    let (json, toml) = (folder.join("manifest.json"), folder.join("plugin.toml"));
    let folder = folder.to_owned();
    match (is_there(&json)?, is_there(&toml)?) {
        (true, true) => Err(ManifestError::Both { folder }),
        (false, false) => Err(ManifestError::Missing { folder }),
        (true, false) => read_with(json, parse_json),
        (false, true) => read_with(toml, parse_toml),
    }
}

/// Whether the file exists. A symbolic link that leads nowhere counts: reading it then gives the error that says what is wrong.
fn is_there(file: &Path) -> Result<bool, ManifestError> {
    match file.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(ManifestError::Unreadable {
            file: file.to_owned(),
            source,
        }),
    }
}

fn read_with(
    file: PathBuf,
    parse: fn(&str) -> Result<Value, String>,
) -> Result<(PathBuf, Value), ManifestError> {
    let text = match read_text(&file) {
        Ok(text) => text,
        Err(source) => return Err(ManifestError::Unreadable { file, source }),
    };
    match parse(&text) {
        Ok(value) => Ok((file, value)),
        Err(why) => Err(ManifestError::Syntax { file, why }),
    }
}

/// Reads the file without blocking: if it is a named pipe, opening it must not wait for a writer.
fn read_text(file: &Path) -> io::Result<String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        let why = format!("it has more than {MOST_BYTES} bytes");
        return Err(io::Error::other(why));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn parse_json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Unambiguous(value)) => Ok(value),
        Err(error) => Err(format!("not the JSON of a manifest: {error}")),
    }
}

fn parse_toml(text: &str) -> Result<Value, String> {
    // Parsed as a TOML table and not directly as a JSON value, because only the table tells a date from a table.
    match text.parse::<toml::Table>() {
        Ok(table) => from_toml(toml::Value::Table(table)),
        Err(error) => Err(format!("not the TOML of a manifest: {error}")),
    }
}

fn from_toml(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Float(number) => match Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return Err(format!("`{number}` is no number of JSON")),
        },
        toml::Value::Datetime(date) => {
            return Err(format!("the date {date}: write it as a text, in quotes"));
        }
        toml::Value::Array(values) => Value::Array(
            values
                .into_iter()
                .map(from_toml)
                .collect::<Result<_, _>>()?,
        ),
        toml::Value::Table(table) => {
            let entries = table.into_iter();
            let entries = entries.map(|(key, value)| Ok((key, from_toml(value)?)));
            Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}

/// A JSON value in which no object has a key twice. Otherwise a person could read the first of two capability lists, while the runtime
/// takes the second.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unambiguous, D::Error> {
        deserializer.deserialize_any(Values).map(Unambiguous)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unambiguous(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let Unambiguous(value) = object.next_value()?;
            if values.contains_key(&key) {
                return Err(Error::custom(format!("the key `{key}` stands there twice")));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}
