//! The broker's records about cells: memory in which a cell is written or read, and that the plugin has lost a
//! cell.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{CellToBroker, CellToPlugin};
use callgate_layout::sys::memfd;

use super::memory::expect;
use super::plugin::PluginWork;
use crate::base::error::{Error, Result};
use crate::session::cells::{OpenCell, Side};
use crate::session::connection::failure as error_of;
use crate::session::mapping::{map_read_only, map_writable, system};
use crate::session::notices::BrokerEvent;

impl PluginWork<'_> {
    pub(super) fn cell_record(&mut self, record: CellToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            CellToPlugin::Write {
                request,
                len,
                has_last,
            } => {
                let memory = (len, has_last, descriptors);
                self.use_cell(request, |cell, of| write(cell, of, memory));
            }
            CellToPlugin::Read {
                request,
                len,
                writer,
            } => {
                let memory = (len, writer, descriptors);
                self.use_cell(request, |cell, of| read(cell, of, memory));
            }
            CellToPlugin::Sealed { request } => {
                if let Some(cell) = self.plugin.membership.cells.get(request) {
                    cell.opened();
                }
            }
            CellToPlugin::Left { request } => {
                let cell = self.plugin.membership.cells.get(request);
                if let Some(Side::Reads(read)) = cell.as_ref().map(|cell| &cell.side) {
                    read.left();
                }
            }
            CellToPlugin::Closed { request, failure } => {
                self.cell_refused(request, &error_of(failure));
            }
        }
    }

    /// Has a cell use the memory that was sent. If it cannot, the cell is closed.
    fn use_cell(&mut self, request: u32, take: impl FnOnce(&OpenCell, u64) -> Result<()>) {
        let membership = &self.plugin.membership;
        // A cell that is not known was closed, and the record that tells the broker is under way.
        let Some(cell) = membership.cells.get(request) else {
            return;
        };
        match take(&cell, membership.id.number()) {
            Ok(()) => match cell.side {
                Side::Writes(_) => self.send(&CellToBroker::Written { request }.into()),
                Side::Reads(_) => cell.opened(),
            },
            Err(error) if error.code() == Code::Protocol => self.over(&error),
            Err(error) => self.cell_failed(request, &error),
        }
    }

    /// Closes a cell whose memory this side cannot use, at the broker too.
    pub(super) fn cell_failed(&mut self, request: u32, error: &Error) {
        self.send(&CellToBroker::Close { request }.into());
        self.cell_refused(request, error);
    }

    /// Notes that a cell is not this plugin's, or is not any more.
    pub(super) fn cell_refused(&mut self, request: u32, error: &Error) {
        let plugin = &self.plugin;
        let membership = &plugin.membership;
        let Some(cell) = membership.cells.remove(&membership.connection, request) else {
            return;
        };
        let error = error.clone().at_gate(cell.tag.clone());
        // If a thread waits for the cell, it returns the error to the program.
        if cell.failed(&error) {
            return;
        }
        tracing::warn!(%error, "a cell is this plugin's no more");
        let gate = cell.tag.to_string();
        plugin
            .state
            .notices
            .tell(BrokerEvent::GateRefused { gate, error });
    }
}

/// Maps the memory in which a cell is written. All of it is allocated here, so that nobody has to allocate later.
fn write(
    cell: &OpenCell,
    of: u64,
    (len, has_last, descriptors): (u32, bool, Vec<OwnedFd>),
) -> Result<()> {
    let Side::Writes(written) = &cell.side else {
        return Err(unexpected("memory to write for a cell that is read"));
    };
    let len = checked(cell, len)?;
    let (file, last) = match has_last {
        true => {
            let [file, last] = expect(descriptors)?;
            (file, Some(last))
        }
        false => {
            let [file] = expect(descriptors)?;
            (file, None)
        }
    };
    let allocated = memfd::allocate(file.as_fd(), len);
    allocated.map_err(|error| system("allocating the memory of a cell", &error))?;
    let memory = map_writable(file, len)?;
    let last = last.map(|last| map_read_only(last, len)).transpose()?;
    written.add(of, memory, last)
}

/// Maps the memory in which a cell is read.
fn read(
    cell: &OpenCell,
    of: u64,
    (len, writer, descriptors): (u32, String, Vec<OwnedFd>),
) -> Result<()> {
    let Side::Reads(read) = &cell.side else {
        return Err(unexpected("memory to read for a cell that is written"));
    };
    let len = checked(cell, len)?;
    let [file] = expect(descriptors)?;
    read.show(of, map_read_only(file, len)?, Arc::from(writer))
}

fn checked(cell: &OpenCell, len: u32) -> Result<usize> {
    match len == cell.memory_len() {
        true => Ok(len as usize),
        false => Err(unexpected("memory of another length than the cell has")),
    }
}

fn unexpected(what: &str) -> Error {
    let text = format!("the broker sent {what}");
    Error::new(Code::Protocol, text)
}
