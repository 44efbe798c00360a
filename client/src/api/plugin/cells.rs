//! Cells: the methods by which a plugin opens them.

use std::time::Duration;

use callgate_layout::Code;

use super::{Plugin, check_gate};
use crate::api::shares::cells::{Cell, CellWriter};
use crate::base::error::Result;
use crate::base::types::GateType;
use crate::session::connection::REQUEST_TIMEOUT;

impl Plugin {
    /// Writes a cell, which comes to be where there is none. It begins with the value of the writer before, if there was one and somebody
    /// has the cell open since.
    ///
    /// A type whose values have all the same size: numbers, `bool`, `char`, arrays, tuples, structs, enums and options of such;
    /// 4,096 bytes at most.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED` where another handle writes it, of whatever plugin; `SHARE_TYPE_MISMATCH` where the cell has another type, or there is a
    /// share of that tag; `INVALID_ARGUMENT` for a tag or a type that cannot be; `PERMISSION_DENIED`, `OVERLOADED` over the limit of
    /// shares, `SYSTEM`, `BROKER_GONE`.
    pub fn cell_writer<T: GateType>(&self, tag: &str) -> Result<CellWriter<T>> {
        check_gate(tag)?;
        CellWriter::open(&self.state, tag, REQUEST_TIMEOUT)
    }

    /// Reads a cell. Where nobody has written it yet, the first writer is waited for, five seconds at most.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where nobody has come to write it; the others as of [`Plugin::cell_writer`].
    pub fn cell<T: GateType>(&self, tag: &str) -> Result<Cell<T>> {
        self.cell_within(tag, REQUEST_TIMEOUT)
    }

    /// As [`Plugin::cell`], and says how long to wait.
    ///
    /// # Errors
    ///
    /// As [`Plugin::cell`].
    pub fn cell_within<T: GateType>(&self, tag: &str, timeout: Duration) -> Result<Cell<T>> {
        check_gate(tag)?;
        Cell::open(&self.state, tag, (timeout, true))
    }

    /// Reads a cell, unless nobody has written it yet.
    ///
    /// # Errors
    ///
    /// As [`Plugin::cell`], but for that.
    pub fn try_cell<T: GateType>(&self, tag: &str) -> Result<Option<Cell<T>>> {
        check_gate(tag)?;
        match Cell::open(&self.state, tag, (REQUEST_TIMEOUT, false)) {
            Ok(cell) => Ok(Some(cell)),
            Err(error) if error.code() == Code::NotReady => Ok(None),
            Err(error) => Err(error),
        }
    }
}
