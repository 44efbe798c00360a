//! Cells in the shell: their memory is made, sent to their readers, and removed from the queues when it is replaced. Also their entries in
//! listings.

use std::time::Instant;

use callgate_layout::control::CellToPlugin;

use super::Reactor;
use super::failures::no_memory;
use super::memory::Memory;
use crate::id::PluginId;
use crate::listing::{ShareEntry, ShareForm};
use crate::memory::AnyMemory;

impl Reactor {
    /// Makes memory for a cell and sends it to its writer, together with that of the writer before.
    pub(super) fn make_cell(
        &mut self,
        to: PluginId,
        (memory, len, last): (u64, u32, Option<u64>),
        record: CellToPlugin,
        now: Instant,
    ) {
        let last = last.and_then(|last| self.memory.get(&AnyMemory::Cell(last)));
        let last = last.and_then(Memory::reader_file);
        let memory = AnyMemory::Cell(memory);
        let made = self.check_share_room(1).and_then(|()| {
            let made = Memory::shared("callgate-cell", len);
            made.map_err(|error| no_memory("a cell", &error))
        });
        self.hand_out_made(to, (memory, made), (record.into(), last), now);
    }

    /// Sends the memory of a cell to one of its readers.
    pub(super) fn read_cell(
        &mut self,
        to: PluginId,
        memory: u64,
        record: CellToPlugin,
        now: Instant,
    ) {
        let held = self.memory.get(&AnyMemory::Cell(memory));
        if let Some(reader) = held.and_then(Memory::reader_file) {
            self.send(to, record, vec![reader], now);
        }
    }

    /// The memory of a cell was replaced, or the cell is gone: removes it from the queues of the plugins that it was to be sent to.
    pub(super) fn drop_cell(&mut self, memory: u64, writer: Option<PluginId>, users: &[PluginId]) {
        let held = self.memory.remove(&AnyMemory::Cell(memory));
        let Some(descriptor) = held.as_ref().and_then(Memory::reader_file) else {
            return;
        };
        for user in users {
            let session = self.sessions.get_mut(user);
            let records = session.map_or(0, |session| session.outgoing.discard(&descriptor));
            // Only the writer was to acknowledge; readers do not answer.
            if writer == Some(*user) {
                self.bus.unsent(*user, records);
            }
        }
    }

    /// All cells, as entries among the shares of a listing.
    pub(super) fn cell_entries(&self) -> Vec<ShareEntry> {
        let cells = self.bus.cells().all();
        let entries = cells.map(|(tag, cell)| ShareEntry {
            tag: (**tag).to_owned(),
            owner: cell
                .writer()
                .map_or_else(String::new, |writer| self.name_of(writer)),
            bytes: u64::from(cell.kind.len),
            version: 0,
            persistent: false,
            form: ShareForm::Cell,
            signature: cell.kind.signature.clone(),
            others: Vec::new(),
            users: cell.readers().map(|reader| self.name_of(reader)).collect(),
        });
        entries.collect()
    }
}
