//! Values of any type, as `serde_json::Value`.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::fault::Result;
use super::numbers::out_of_range;
use super::{JsonType, Reader, Writer, scalars};

impl JsonType for Value {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        match self {
            Value::Null => writer.put("null"),
            Value::Bool(value) => value.write(writer),
            Value::String(text) => text.write(writer),
            Value::Array(elements) => elements.write(writer),
            Value::Object(members) => write_members(members, writer),
            Value::Number(number) => writer.number(number),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Value> {
        match reader.next() {
            Some(b'n') => reader.word("null").map(|()| Value::Null),
            Some(b't' | b'f') => bool::read(reader).map(Value::Bool),
            Some(b'"') => String::read(reader).map(Value::String),
            Some(b'[') => Vec::read(reader).map(Value::Array),
            Some(b'{') => read_members(reader).map(Value::Object),
            _ => {
                let literal = reader.literal()?;
                let number = scalars::number(literal).map(Value::Number);
                number.ok_or_else(|| out_of_range("a number of 64 bits", literal))
            }
        }
    }
}

fn write_members(members: &Map<String, Value>, writer: &mut Writer<'_>) -> Result<()> {
    super::maps::write_pairs(members.iter(), writer)
}

fn read_members(reader: &mut Reader<'_>) -> Result<Map<String, Value>> {
    let mut members = Map::new();
    super::maps::read_pairs(reader, |key: String, value| {
        Ok(match members.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
        })
    })?;
    Ok(members)
}
