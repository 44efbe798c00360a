//! Records about cells: opening, the memory of a writer, and telling readers of it.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::cells::{MAX_VALUE, cell_len};
use callgate_layout::control::{CellToBroker, CellToPlugin, Failure, MAX_TEXT, check_gate_name};

use super::{Awaited, Bus, Weight, protocol};
use crate::cells::{Kind, Left, Moved, Opened, Place, Refused, Sealed, Wish, Wrong};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::Tag;

impl Bus {
    pub(super) fn cell_record(
        &mut self,
        from: PluginId,
        record: CellToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            CellToBroker::Open {
                request,
                tag,
                fingerprint,
                signature,
                len,
                writes,
                waits,
            } => {
                let wish = Wish {
                    place: (from, request),
                    name: self.name_of(from),
                    writes,
                    waits,
                };
                let kind = Kind {
                    fingerprint,
                    signature,
                    len,
                };
                self.open_cell(wish, (&tag, kind), now)?;
                Ok(Weight::Charged)
            }
            CellToBroker::Written { request } => self.cell_written((from, request), now),
            CellToBroker::Close { request } => self.close_cell((from, request)),
        }
    }

    fn open_cell(
        &mut self,
        wish: Wish,
        (tag, kind): (&str, Kind),
        now: Instant,
    ) -> Result<(), Failure> {
        let (from, request) = wish.place;
        let len = cell_len(kind.len.min(MAX_VALUE));
        match self.try_to_open_cell(wish, (tag, kind)) {
            Ok(Opened::Write { memory, last }) => {
                let record = CellToPlugin::Write {
                    request,
                    len,
                    has_last: last.is_some(),
                };
                let to = from;
                self.ask(
                    to,
                    Effect::MakeCell {
                        to,
                        memory,
                        last,
                        len,
                        record,
                    },
                );
                let due = Some(now + self.step);
                self.deadlines.set(of(memory), due);
            }
            Ok(Opened::Read { sealed, is_written }) => {
                self.tell_reader((from, request), (&sealed, len));
                if !is_written {
                    self.send(from, CellToPlugin::Left { request });
                }
            }
            Ok(Opened::Waits) => {}
            Err(Some(failure)) => self.answer(from, request, Some(failure)),
            Err(None) => return Err(protocol("it opened two cells under one number")),
        }
        Ok(())
    }

    /// Opens a cell. `Err(None)` if the request breaks the protocol.
    fn try_to_open_cell(
        &mut self,
        wish: Wish,
        (tag, kind): (&str, Kind),
    ) -> Result<Opened, Option<Failure>> {
        let invalid = |message| Failure::new(Code::InvalidArgument, message);
        check_gate_name(tag).map_err(invalid)?;
        check_kind(&kind).map_err(invalid)?;
        let from = wish.place.0;
        self.check_cell(from, tag, wish.writes)?;
        if self.has_share(tag) {
            let message = format!(
                "{tag} is the tag of a share: read it as one (Shares::get), or choose another one for the cell"
            );
            return Err(Some(Failure::new(Code::ShareTypeMismatch, message)));
        }
        let Some(member) = self.members.get(&from) else {
            return Ok(Opened::Waits);
        };
        let charge = member.shares.charge().ok_or_else(|| {
            let limit = member.shares.limit();
            let message = format!("this plugin has {limit} shares and cells already, its limit");
            Failure::new(Code::Overloaded, message)
        })?;
        if wish.writes {
            // Plugins that wait for the cell have named another type; they may read the tag but not write it, so the writer's type counts.
            for place in self.cells.misled(tag, &kind) {
                let message = format!(
                    "the cell {tag} has values of the type {} ({} bytes), which is not what was waited for",
                    kind.signature, kind.len
                );
                self.take_cell(place, Failure::new(Code::ShareTypeMismatch, message));
            }
        }
        let wanted = kind.clone();
        let opened = self.cells.open(wish, (tag, kind), charge);
        opened.map_err(|refused| self.explain_cell(refused, (tag, &wanted)))
    }

    fn explain_cell(&self, refused: Refused, (tag, wanted): (&str, &Kind)) -> Option<Failure> {
        let (code, message) = match refused {
            Refused::NumberInUse => return None,
            Refused::Kind(kind) => {
                let message = format!(
                    "the cell {tag} has values of the type {} ({} bytes), not {} ({} bytes)",
                    kind.signature, kind.len, wanted.signature, wanted.len
                );
                (Code::ShareTypeMismatch, message)
            }
            Refused::Written(writer) => {
                let writer = self.label_of(writer);
                let message = format!("{writer} writes the cell {tag} already");
                (Code::AlreadyProvided, message)
            }
            Refused::Nothing => {
                let message = format!("nobody has written the cell {tag} yet");
                (Code::NotReady, message)
            }
        };
        Some(Failure::new(code, message))
    }

    /// Whether a plugin may write a cell, or read it. Its writer may also read it.
    fn check_cell(&self, plugin: PluginId, tag: &str, writes: bool) -> Result<(), Failure> {
        if writes {
            return self.check_create_share(plugin, tag);
        }
        match self.check_read_share(plugin, tag) {
            Err(failure) if !self.cells.is_written_by(plugin, tag) => Err(failure),
            _ => self.check_takes_part(plugin),
        }
    }

    /// A writer has mapped the memory that it was sent.
    fn cell_written(&mut self, place: Place, now: Instant) -> Result<Weight, Failure> {
        let memory = self.cells.written(place).map_err(wrong)?;
        if let Some(memory) = memory {
            let writer = place.0;
            let sealing = Effect::Seal(writer, AnyMemory::Cell(memory));
            self.effects.push_back(sealing);
            let due = Some(now + self.sealing_time());
            self.deadlines.set(of(memory), due);
        }
        self.acknowledged(place.0)
    }

    /// A writer's memory is sealed, and all of it is allocated: readers are told to read there from now on.
    pub(super) fn cell_sealed(&mut self, memory: u64) {
        let Some(moved) = self.cells.sealed(memory) else {
            return;
        };
        self.deadlines.set(of(memory), None);
        let Moved {
            sealed,
            writer: (writer, request),
            len,
            readers,
            before,
            users,
        } = moved;
        // Dropped first, so that no reader that has not read its record yet is sent the memory before.
        if let Some(memory) = before {
            self.effects.push_back(Effect::DropCell {
                memory,
                writer: None,
                users: users.into_iter().collect(),
            });
        }
        self.send(writer, CellToPlugin::Sealed { request });
        for reader in readers {
            self.tell_reader(reader, (&sealed, cell_len(len)));
        }
    }

    fn tell_reader(&mut self, (to, request): Place, (sealed, len): (&Sealed, u32)) {
        let record = CellToPlugin::Read {
            request,
            len,
            writer: sealed.writer.clone(),
        };
        let memory = sealed.memory;
        self.effects
            .push_back(Effect::ReadCell { to, memory, record });
    }

    /// A plugin closes a cell.
    fn close_cell(&mut self, place: Place) -> Result<Weight, Failure> {
        let left = self.cells.close(place).map_err(wrong)?;
        let was_open = left.is_some();
        self.cell_left(place.0, left.unwrap_or_default());
        // A cell that the broker has closed meanwhile can be closed again and again, so that is charged.
        Ok(match was_open {
            true => Weight::Expected,
            false => Weight::Charged,
        })
    }

    fn cell_left(&mut self, plugin: PluginId, left: Left) {
        for memory in left.memory {
            self.deadlines.set(of(memory), None);
            self.effects.push_back(Effect::DropCell {
                memory,
                writer: (left.unmapped == Some(memory)).then_some(plugin),
                users: vec![plugin],
            });
        }
        for (reader, request) in left.readers {
            self.send(reader, CellToPlugin::Left { request });
        }
    }

    /// Closes a plugin's cell, and tells it why.
    fn take_cell(&mut self, place: Place, failure: Failure) {
        if let Ok(Some(left)) = self.cells.close(place) {
            let (plugin, request) = place;
            self.cell_left(plugin, left);
            self.send(plugin, CellToPlugin::Closed { request, failure });
        }
    }

    /// A writer has not mapped its memory in time, or keeps the kernel from sealing it.
    pub(super) fn cell_is_late(&mut self, memory: u64) {
        let Some(writer) = self.cells.writer_of(memory) else {
            return;
        };
        if self.cells.is_sealing(memory) {
            let time = self.sealing_time();
            return self.late_within(writer.0, "let its cell be sealed", time);
        }
        let step = self.step;
        let message = format!(
            "the plugin did not map the cell within {step:?}: it may be stopped or too busy. Another one may write it now"
        );
        self.take_cell(writer, Failure::new(Code::Timeout, message));
    }

    /// The shell could not make the memory of a writer.
    pub(super) fn cell_not_made(&mut self, memory: u64, failure: Failure) {
        let Some(writer) = self.cells.writer_of(memory) else {
            return;
        };
        if let Ok(Some(left)) = self.cells.close(writer) {
            // The writer was counted as having to acknowledge, and was not asked.
            self.unsent(writer.0, 1);
            self.cell_left(writer.0, left);
            self.answer(writer.0, writer.1, Some(failure));
        }
    }

    /// The shell could not seal a writer's memory.
    pub(super) fn cell_given_up(&mut self, memory: u64, failure: Failure) {
        if let Some(writer) = self.cells.writer_of(memory) {
            self.take_cell(writer, failure);
        }
    }

    /// Closes the cells that a plugin may not use any more after a change of policy; first those that it writes, because a writer may read
    /// its cell without the right to read.
    pub(super) fn review_cells(&mut self, plugin: PluginId) {
        for is_writer in [true, false] {
            for (request, tag, writes) in self.cells.opens_of(plugin) {
                if writes == is_writer
                    && let Err(failure) = self.check_cell(plugin, &tag, writes)
                {
                    self.take_cell((plugin, request), failure);
                }
            }
        }
    }

    /// Forgets all cells of a plugin that has ended.
    pub(super) fn forget_cells(&mut self, plugin: PluginId) {
        for (request, ..) in self.cells.opens_of(plugin) {
            if let Ok(Some(left)) = self.cells.close((plugin, request)) {
                self.cell_left(plugin, left);
            }
        }
        self.cells.forget(plugin);
    }

    /// Whether there is a share of this tag, or plugins make or wait for one: then no cell may have it.
    fn has_share(&self, tag: &str) -> bool {
        self.shares.tag(tag).is_some_and(Tag::is_taken)
    }
}

/// The deadline of a writer's memory.
fn of(memory: u64) -> Awaited {
    Awaited::Memory(AnyMemory::Cell(memory))
}

fn check_kind(kind: &Kind) -> Result<(), String> {
    if !(1..=MAX_VALUE).contains(&kind.len) {
        let len = kind.len;
        return Err(format!(
            "a cell's value has 1 to {MAX_VALUE} bytes, not {len}"
        ));
    }
    match kind.signature.len() <= MAX_TEXT {
        true => Ok(()),
        false => Err(format!("a signature's text has {MAX_TEXT} bytes at most")),
    }
}

fn wrong(wrong: Wrong) -> Failure {
    protocol(match wrong {
        Wrong::NeverWas => "it named a cell that it never opened",
        Wrong::NotAwaited => "it acknowledged a cell that was not awaited",
    })
}
