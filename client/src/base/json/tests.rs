//! The conversion rules of decision 22, row by row, and JSON texts of every kind.

use callgate_layout::Code;
use callgate_layout::buffer::Buffer;
use serde_json::json;

use super::*;
use crate::base::error::Error;

mod calls;
mod compared;
mod depth;
mod lists;
mod numbers;
mod random;
mod rules;
mod shapes;
mod texts;
mod types;

/// The JSON text of a value.
fn text<T: JsonType>(value: &T) -> String {
    try_text(value).unwrap()
}

fn try_text<T: JsonType>(value: &T) -> Result<String, Error> {
    let mut buffer = Buffer::new();
    write_result(value, &mut buffer, None, 1 << 20)?;
    Ok(String::from_utf8(buffer.to_vec()).unwrap())
}

fn read<T: JsonType>(text: &str) -> Result<T, Error> {
    read_result(text.as_bytes())
}

/// Code and message of the error with which reading a text fails.
fn refused<T: JsonType>(text: &str) -> String {
    said(read::<T>(text).err().unwrap())
}

fn said(error: Error) -> String {
    format!("{}: {}", error.code(), error.message())
}
