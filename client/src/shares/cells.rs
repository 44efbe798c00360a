//! The part of cells that needs no broker: the memory into which a value is written and from which it is read.

mod read;
mod written;

use callgate_layout::Code;

use crate::base::error::Error;

pub(crate) use read::{Copier, ReadCell};
pub(crate) use written::WrittenCell;

/// The error for memory that is too short for a cell of this size.
fn no_cell() -> Error {
    let text = "the broker sent memory for a cell that is too short for its values";
    Error::new(Code::Protocol, text)
}
