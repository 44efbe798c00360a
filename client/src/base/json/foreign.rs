//! Types of the standard library that become objects or text, and fields of foreign types, which are written and
//! read by serde.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::fault::{Fault, Result, Why, excerpt};
use super::{JsonType, Reader, Writer};

const NANOS: u32 = 1_000_000_000;

/// The names of an object's two members, as serde has them.
type Names = [&'static str; 2];
const OF_DURATION: Names = ["secs", "nanos"];
const OF_TIME: Names = ["secs_since_epoch", "nanos_since_epoch"];

fn read_time(
    reader: &mut Reader<'_>,
    expected: &'static str,
    names: &'static Names,
) -> Result<Duration> {
    let (mut seconds, mut nanos) = (None, None);
    let mut object = reader.object(expected, names)?;
    while let Some(index) = reader.next_field(&mut object)? {
        match index {
            0 => reader.field(&mut seconds, names[0])?,
            _ => reader.field(&mut nanos, names[1])?,
        }
    }
    let seconds: u64 = reader.present(seconds, names[0])?;
    let nanos: u32 = reader.present(nanos, names[1])?;
    if nanos >= NANOS {
        let fault = Fault::mismatch("less than a second", nanos.to_string());
        return Err(fault.within(names[1]));
    }
    Ok(Duration::new(seconds, nanos))
}

impl JsonType for Duration {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.open("{")?;
        writer.field("\"secs\":", OF_DURATION[0], &self.as_secs())?;
        writer.field(",\"nanos\":", OF_DURATION[1], &self.subsec_nanos())?;
        writer.close("}")
    }

    fn read(reader: &mut Reader<'_>) -> Result<Duration> {
        read_time(reader, "Duration", &OF_DURATION)
    }
}

impl JsonType for SystemTime {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        let since = self
            .duration_since(UNIX_EPOCH)
            .map_err(|_| Fault::mismatch("a time since 1970", "an earlier one"))?;
        writer.open("{")?;
        writer.field("\"secs_since_epoch\":", OF_TIME[0], &since.as_secs())?;
        writer.field(",\"nanos_since_epoch\":", OF_TIME[1], &since.subsec_nanos())?;
        writer.close("}")
    }

    fn read(reader: &mut Reader<'_>) -> Result<SystemTime> {
        let since = read_time(reader, "SystemTime", &OF_TIME)?;
        let time = UNIX_EPOCH.checked_add(since);
        time.ok_or_else(|| Fault::mismatch("a time that the system knows", "a later one"))
    }
}

impl JsonType for PathBuf {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        match self.to_str() {
            Some(text) => writer.text(text),
            None => Err(Fault::mismatch("a path in UTF-8", "another one")),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<PathBuf> {
        String::read(reader).map(PathBuf::from)
    }
}

/// serde_json's formatter, with a limit on how deep it may nest.
struct Bounded {
    levels: u32,
}

impl Bounded {
    fn open<W: io::Write + ?Sized>(&mut self, writer: &mut W, text: &[u8]) -> io::Result<()> {
        // The kind of this error does not matter: all other errors come from the writer, which keeps the reason.
        let left = self.levels.checked_sub(1);
        self.levels = left.ok_or(io::ErrorKind::Other)?;
        writer.write_all(text)
    }

    fn close<W: io::Write + ?Sized>(&mut self, writer: &mut W, text: &[u8]) -> io::Result<()> {
        self.levels += 1;
        writer.write_all(text)
    }
}

impl Formatter for Bounded {
    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
}

/// Writes a field of a foreign type by its own implementation of serde's traits.
pub fn write_opaque<T: Serialize>(value: &T, writer: &mut Writer<'_>) -> Result<()> {
    let levels = writer.levels();
    let mut serializer = Serializer::with_formatter(&mut *writer, Bounded { levels });
    let outcome = value.serialize(&mut serializer);
    outcome.map_err(|why| match writer.take_failed() {
        Some(fault) => fault,
        None if why.is_io() => Fault::new(Why::TooDeep),
        None => Fault::mismatch("what JSON can say", excerpt(&why.to_string())),
    })
}

/// Reads a field of a foreign type by its own implementation of serde's traits. `name` names it in errors.
pub fn read_opaque<T: DeserializeOwned>(reader: &mut Reader<'_>, name: &'static str) -> Result<T> {
    let text = reader.skip()?;
    serde_json::from_str(text).map_err(|why| match text {
        "null" => Fault::new(Why::Null {
            expected: format!("opaque {name:?}"),
        }),
        _ => Fault::mismatch(format!("opaque {name:?}"), excerpt(&why.to_string())),
    })
}
