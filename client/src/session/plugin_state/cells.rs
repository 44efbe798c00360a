//! Opening cells: at the current broker, and again at each later one.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::CellToBroker;

use super::PluginState;
use crate::base::error::{Error, Result};
use crate::session::cells::OpenCell;
use crate::session::membership::Membership;

impl PluginState {
    /// Opens a cell at the current broker, and at each later one. Returns when it has memory, or when the time is
    /// up. If this fails, the caller closes the cell.
    pub(crate) fn open_cell(&self, cell: &Arc<OpenCell>, until: Instant) -> Result<()> {
        if self.membership().connection.is_control_thread() {
            let text = "what is dropped together with a link cannot wait for the broker";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        self.cells.add(cell);
        self.tell_of_cell(cell, until)?;
        let opened = cell.await_opened(until);
        opened.unwrap_or_else(|| {
            self.presence.check()?;
            Err(cell.is_late())
        })
    }

    fn tell_of_cell(&self, cell: &Arc<OpenCell>, until: Instant) -> Result<()> {
        loop {
            let membership = self.await_membership(until)?;
            let said = self.open_cell_on(&membership, cell);
            if !self.has_ended(&membership, said.as_ref().err(), until) {
                return said;
            }
        }
    }

    /// Tells a membership's broker of a cell, unless it was told already.
    pub(super) fn open_cell_on(&self, membership: &Membership, cell: &Arc<OpenCell>) -> Result<()> {
        self.say(membership, || {
            if !cell.is_to_say(membership.id) {
                return Ok(true);
            }
            let connection = &membership.connection;
            let request = membership.cells.telling(connection, cell);
            let sent = membership.send_if_room(&cell.record(request).into());
            match sent {
                Ok(true) => cell.said(membership.id, request),
                _ => drop(membership.cells.remove(connection, request)),
            }
            sent
        })
    }

    /// Ends all cells, because the plugin closes.
    pub(super) fn end_cells(&self, reason: &Error) {
        for cell in self.cells.all() {
            cell.failed(reason);
        }
    }

    /// Closes a cell, here and at the broker.
    pub(crate) fn close_cell(&self, cell: &Arc<OpenCell>) {
        let (said, request) = {
            // Under this lock a plugin that comes back has either told the next broker already, or finds the cell
            // closed.
            let _alone = self.saying.lock();
            self.cells.remove(cell);
            cell.close()
        };
        cell.end(&Error::new(Code::Closed, "this plugin has closed the cell"));
        for older in self.older_memberships() {
            older.cells.forget(cell);
        }
        let membership = self.membership();
        let connection = &membership.connection;
        // If the broker has refused the cell, or has taken it away, it does not know it any more.
        if said == membership.id
            && membership.cells.remove(connection, request).is_some()
            && connection.check_alive().is_ok()
        {
            // A broker that has ended has forgotten it anyway.
            let _ = membership.send(&CellToBroker::Close { request }.into());
        }
    }
}
