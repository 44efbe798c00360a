//! The parameters and the result of a call as JSON.

use callgate_layout::Code;
use callgate_layout::buffer::Buffer;

use super::fault::{Fault, Part, Result as Outcome};
use super::strings::append;
use super::{JsonType, Parameters, Reader, Writer};
use crate::base::buffers::{Pool, Scratch};
use crate::base::error::{Error, Result};

/// The longest text, in bytes.
const MOST: usize = i32::MAX as usize;

/// Writes a call's parameters as an array, replacing the buffer's content; fails above `most` bytes.
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

/// Writes a call's result, replacing the buffer's content; fails above `most` bytes.
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

/// Writes a list of values, replacing the buffer's content; fails above `most` bytes.
pub(crate) fn write_list<T: JsonType>(list: &[T], out: &mut Buffer, most: usize) -> Result<()> {
    let mut writer = Writer::new(out, None, most);
    T::write_list(list, &mut writer).map_err(|fault| fault.into_error(Part::Result))
}

/// Returns the JSON text of a value.
pub fn to_text<T: JsonType>(value: &T) -> Result<String> {
    let mut scratch = Scratch::take();
    write_result(value, &mut scratch, None, MOST)?;
    let mut text = String::new();
    let copied = str::from_utf8(&scratch).map(|written| append(&mut text, written));
    // The writer writes valid UTF-8.
    copied
        .unwrap_or(Ok(()))
        .map_err(|fault| fault.into_error(Part::Result))?;
    Ok(text)
}

/// Reads a call's parameters.
///
/// If several things are wrong, the error is the first of these: invalid JSON (`PROTOCOL`), a wrong number of
/// parameters, a null for a parameter that allows none, and then the values from left to right. The text is only
/// examined for this if reading the parameters one after the other has failed.
pub fn read_arguments<A: Parameters>(bytes: &[u8]) -> Result<A> {
    let start = Reader::new(bytes).map_err(|fault| fault.into_error(Part::Arguments))?;
    let start = start.for_arguments();
    read_all::<A>(start.clone()).map_err(|first| judge::<A>(&start, first))
}

fn read_all<A: Parameters>(mut reader: Reader<'_>) -> Outcome<A> {
    let arguments = match A::COUNT {
        // A call without parameters is an empty list; `()` is read from null.
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

/// Decides which error to report for parameters that could not be read; `first` is the first that was found.
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

/// The number of elements in a list that is the whole text.
pub(super) fn count_whole(reader: Reader<'_>) -> Outcome<usize> {
    // Invalid JSON is reported first, before a wrong type.
    let mut all = reader.clone();
    all.skip()?;
    all.end()?;
    reader.clone().count()
}

/// The fault of the first parameter that is null and allows none.
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

/// The error for a call whose number of parameters differs from its gate's.
#[cold]
pub(crate) fn wrong_number(expected: usize, found: usize) -> Error {
    let plural = if expected == 1 { "" } else { "s" };
    let text = format!("the gate takes {expected} parameter{plural}, and the call has {found}");
    Error::new(Code::LengthMismatch, text)
}
