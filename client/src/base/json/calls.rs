//! The parameters and the result of a call.

use callgate_layout::Code;
use callgate_layout::buffer::Buffer;

use super::fault::{Fault, Part, Result as Outcome};
use super::strings::append;
use super::{JsonType, Parameters, Reader, Writer};
use crate::base::buffers::{Pool, Scratch};
use crate::base::error::{Error, Result};

/// The longest text that there is.
const MOST: usize = i32::MAX as usize;

/// Writes a call's parameters in place of what was in the buffer, as an array of at most `most` bytes.
pub(crate) fn write_arguments<A: Parameters>(
    arguments: &A,
    out: &mut Buffer,
    pool: Option<&Pool>,
    most: usize,
) -> Result<()> {
    let mut writer = Writer::new(out, pool, most).for_arguments();
    let outcome = match A::COUNT {
        0 => writer.put("[]"),
        _ => arguments.write(&mut writer),
    };
    outcome.map_err(|fault| fault.into_error(Part::Arguments))
}

/// Writes a call's result in place of what was in the buffer, in at most `most` bytes.
pub(crate) fn write_result<R: JsonType>(
    result: &R,
    out: &mut Buffer,
    pool: Option<&Pool>,
    most: usize,
) -> Result<()> {
    let mut writer = Writer::new(out, pool, most);
    let outcome = result.write(&mut writer);
    outcome.map_err(|fault| fault.into_error(Part::Result))
}

/// Writes a list of values in place of what was in the buffer, in at most `most` bytes.
pub(crate) fn write_list<T: JsonType>(list: &[T], out: &mut Buffer, most: usize) -> Result<()> {
    let mut writer = Writer::new(out, None, most);
    T::write_list(list, &mut writer).map_err(|fault| fault.into_error(Part::Result))
}

/// A value's text.
pub fn to_text<T: JsonType>(value: &T) -> Result<String> {
    let mut scratch = Scratch::take();
    write_result(value, &mut scratch, None, MOST)?;
    let mut text = String::new();
    let copied = str::from_utf8(&scratch).map(|written| append(&mut text, written));
    // What was written is text.
    copied
        .unwrap_or(Ok(()))
        .map_err(|fault| fault.into_error(Part::Result))?;
    Ok(text)
}

/// Reads a call's parameters.
///
/// A text that is no JSON is `PROTOCOL`. Then the number of parameters is judged, then whether null came
/// for one that takes none, then the values, from left to right. All of that is looked at only where
/// reading them one after the other has failed.
pub fn read_arguments<A: Parameters>(bytes: &[u8]) -> Result<A> {
    let start = Reader::new(bytes).map_err(|fault| fault.into_error(Part::Arguments))?;
    let start = start.for_arguments();
    read_all::<A>(start.clone()).map_err(|first| judge::<A>(&start, first))
}

fn read_all<A: Parameters>(mut reader: Reader<'_>) -> Outcome<A> {
    let arguments = match A::COUNT {
        // As a value, nothing is null.
        0 => {
            if reader.count()? > 0 {
                return Err(Fault::mismatch("no parameters", "some"));
            }
            A::read(&mut Reader::of_text("null"))?
        }
        _ => A::read(&mut reader)?,
    };
    reader.end()?;
    Ok(arguments)
}

/// What is said of parameters that could not be read, where `first` is the first that was found.
#[cold]
fn judge<A: Parameters>(start: &Reader<'_>, first: Fault) -> Error {
    let found = match count_whole(start.clone()) {
        Ok(found) => found,
        Err(fault) => return fault.into_error(Part::Arguments),
    };
    let expected = A::COUNT;
    if found != expected {
        return wrong_number(expected, found);
    }
    let null = first_null::<A>(start.clone());
    null.unwrap_or(first).into_error(Part::Arguments)
}

/// How many elements a list has that is the whole text.
pub(super) fn count_whole(reader: Reader<'_>) -> Outcome<usize> {
    // First as a text: what is wrong in it counts more than what it is.
    let mut all = reader.clone();
    all.skip()?;
    all.end()?;
    reader.clone().count()
}

/// The fault of the first parameter that is null and takes none.
fn first_null<A: Parameters>(mut reader: Reader<'_>) -> Option<Fault> {
    reader.open_array("a list").ok()?;
    let mut index = 0;
    while reader.has_element(index).ok()? {
        if reader.skip().ok()? == "null"
            && let Some(fault) = A::fault_of_null(index)
        {
            return Some(fault.at(index));
        }
        index += 1;
    }
    None
}

/// Reads a call's result.
pub fn read_result<R: JsonType>(bytes: &[u8]) -> Result<R> {
    let in_result = |fault: Fault| fault.into_error(Part::Result);
    let start = Reader::new(bytes).map_err(in_result)?;
    let mut reader = start.clone();
    let outcome = R::read(&mut reader).and_then(|result| reader.end().map(|()| result));
    outcome.map_err(|first| {
        let mut all = start.clone();
        match all.skip().and_then(|_| all.end()) {
            Ok(()) => in_result(first),
            Err(fault) => in_result(fault),
        }
    })
}

/// The error for a call with another number of parameters than its gate takes.
#[cold]
pub(crate) fn wrong_number(expected: usize, found: usize) -> Error {
    let text = format!("the gate takes {expected} parameters, and the call has {found}");
    Error::new(Code::LengthMismatch, text)
}
