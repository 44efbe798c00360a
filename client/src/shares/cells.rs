//! Cells, as far as no broker is needed for them: in which memory a value is written, and out of which it is read.

mod read;
mod written;

use callgate_layout::Code;

use crate::base::error::Error;

pub(crate) use read::{Copier, ReadCell};
pub(crate) use written::WrittenCell;

/// The error for memory in which no such cell lies.
fn no_cell() -> Error {
    let text = "the broker sent memory for a cell that is too short for its values";
    Error::new(Code::Protocol, text)
}
