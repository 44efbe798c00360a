//! The parameters and results of calls without known types: checking that a text is JSON, and values of any type.

use callgate_layout::buffer::Buffer;
use serde_json::Value;

use super::calls::count_whole;
use super::fault::Part;
use super::{JsonType, Reader, Writer};
use crate::base::buffers::Pool;
use crate::base::error::Result;

/// Checks that bytes are a call's parameters, which are a list. Returns the text, and their number.
pub(crate) fn check_arguments(bytes: &[u8]) -> Result<(&str, usize)> {
    let start = Reader::new(bytes).map_err(|fault| fault.into_error(Part::Arguments))?;
    let start = start.for_arguments();
    let mut reader = start.clone();
    let counted = reader
        .count()
        .and_then(|count| reader.end().map(|()| count));
    // If it is no list, an error in the whole text's JSON is reported first.
    let count = counted.or_else(|_| count_whole(start.clone()));
    let count = count.map_err(|fault| fault.into_error(Part::Arguments))?;
    Ok((start.slice(0, bytes.len()), count))
}

/// Checks that a call's result is JSON.
pub(crate) fn check_result(bytes: &[u8]) -> Result<()> {
    let checked = Reader::new(bytes).and_then(|mut reader| {
        reader.skip()?;
        reader.end()
    });
    checked.map_err(|fault| fault.into_error(Part::Result))
}

/// Reads a call's parameters as values.
pub(crate) fn read_values(bytes: &[u8]) -> Result<Vec<Value>> {
    let read = Reader::new(bytes).and_then(|reader| {
        let mut reader = reader.for_arguments();
        let values = Vec::read(&mut reader)?;
        reader.end()?;
        Ok(values)
    });
    // Here too, invalid JSON is reported before a wrong type.
    read.map_err(|fault| match check_arguments(bytes) {
        Ok(_) => fault.into_error(Part::Arguments),
        Err(error) => error,
    })
}

/// Writes a call's parameters, replacing the buffer's content; fails above `most` bytes.
pub(crate) fn write_values(
    values: &[Value],
    out: &mut Buffer,
    pool: Option<&Pool>,
    most: usize,
) -> Result<()> {
    let mut writer = Writer::new(out, pool, most).for_arguments();
    let written = writer.list(values.iter());
    written.map_err(|fault| fault.into_error(Part::Arguments))
}
