//! A cell that this plugin reads: where its memory lies now, and copying values out of it.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::cells::{CellReader, Copied, TRIES};
use callgate_layout::sys::fork::{self, ForkMark};
use callgate_layout::view::ReadView;
use parking_lot::Mutex;
use rkyv::util::AlignedVec;

use super::no_cell;
use crate::base::archive;
use crate::base::error::{Error, Result, forked};
use crate::base::types::{GateType, plain};

/// A cell that this plugin reads.
pub(crate) struct ReadCell {
    /// For errors.
    tag: Arc<str>,
    len: usize,
    shown: Mutex<Shown>,
    fork: ForkMark,
}

/// The cell as the broker has described it last.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    memory: Option<CellReader>,
    /// The name of the plugin that writes it, or that wrote it last.
    pub(crate) writer: Arc<str>,
    /// Whether that plugin still writes it.
    pub(crate) is_current: bool,
    /// The membership whose broker described it.
    of: u64,
    /// Why it cannot be read any more; `None` while it can.
    pub(crate) ended: Option<Error>,
}

impl ReadCell {
    /// A cell whose values have `len` bytes, without memory yet.
    pub(crate) fn new(tag: Arc<str>, len: usize) -> ReadCell {
        ReadCell {
            tag,
            len,
            shown: Mutex::default(),
            fork: ForkMark::here(),
        }
    }

    /// The cell as the broker has described it last.
    pub(crate) fn shown(&self) -> Shown {
        // In a forked child the lock may be held by a thread that does not exist there.
        match self.fork.is_here() {
            true => self.shown.lock().clone(),
            false => Shown::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.lock();
        let before = shown.memory.clone();
        change(&mut shown);
        // While the lock is held, so that a thread which sees the new count also finds the change.
        fork::change();
        drop(shown);
        // This may be the last reference to the old mapping.
        drop(before);
    }

    /// Notes the memory in which the cell lies from now on, and its writer.
    pub(crate) fn show(&self, of: u64, memory: ReadView, writer: Arc<str>) -> Result<()> {
        let memory = CellReader::new(memory, self.len).ok_or_else(no_cell)?;
        self.change(|shown| {
            if shown.ended.is_none() {
                *shown = Shown {
                    memory: Some(memory),
                    writer,
                    is_current: true,
                    of,
                    ended: None,
                };
            }
        });
        Ok(())
    }

    /// Notes that the writer has gone.
    pub(crate) fn left(&self) {
        self.change(|shown| shown.is_current = false);
    }

    /// Notes that writers have had time to come back to this membership's broker. One that has not come has gone.
    pub(crate) fn settle(&self, of: u64) {
        if self.shown.lock().of != of {
            self.left();
        }
    }

    /// Makes all further reads fail with this error.
    pub(crate) fn end(&self, why: &Error) {
        self.change(|shown| {
            shown.memory = None;
            shown.is_current = false;
            shown.ended.get_or_insert_with(|| why.clone());
        });
    }
}

/// Copies values out of a cell, for one thread at a time. It remembers where the cell lies, so that a read only has
/// to check that nothing has changed, besides the copy.
pub(crate) struct Copier {
    cell: Arc<ReadCell>,
    memory: Option<CellReader>,
    /// The process-wide count of changes at which `memory` was right.
    seen: u64,
    buffer: AlignedVec<{ archive::ALIGNMENT }>,
}

impl Copier {
    pub(crate) fn new(cell: Arc<ReadCell>) -> Copier {
        let mut buffer = AlignedVec::with_capacity(cell.len);
        buffer.resize(cell.len, 0);
        Copier {
            cell,
            memory: None,
            seen: u64::MAX,
            buffer,
        }
    }

    /// Copies the newest value.
    #[inline]
    pub(crate) fn get<T: GateType>(&mut self) -> Result<T> {
        let mut left = TRIES;
        loop {
            if fork::changes() == self.seen {
                let Some(memory) = &self.memory else {
                    return Err(self.no_value(Copied::Nothing));
                };
                if !plain::is_read::<T>() {
                    return self.get_checked();
                }
                if let Some(value) = plain::read(memory) {
                    return Ok(value);
                }
            }
            left = self.again(left)?;
        }
    }

    /// Copies the bytes into a buffer and checks them there, for types of which not every pattern of bytes is a
    /// value.
    fn get_checked<T: GateType>(&mut self) -> Result<T> {
        let copied = match &self.memory {
            Some(memory) => memory.read(&mut self.buffer),
            None => Copied::Nothing,
        };
        if copied != Copied::Value {
            return Err(self.no_value(copied));
        }
        archive::access::<T>(&self.buffer)
            .and_then(archive::deserialize::<T>)
            .map_err(|error| self.wrong(&error))
    }

    /// Called when a copy failed: returns the error, or how many more attempts are left.
    #[cold]
    fn again(&mut self, left: u32) -> Result<u32> {
        if fork::changes() != self.seen {
            return self.look().map(|()| left);
        }
        let has_value = self.memory.as_ref().is_some_and(CellReader::has_value);
        match (has_value, left) {
            (false, _) => Err(self.no_value(Copied::Nothing)),
            (true, 0 | 1) => Err(self.no_value(Copied::Busy)),
            (true, _) => {
                std::hint::spin_loop();
                Ok(left - 1)
            }
        }
    }

    /// Looks up where the cell lies now.
    fn look(&mut self) -> Result<()> {
        (self.memory, self.seen) = (None, u64::MAX);
        if !self.cell.fork.is_here() {
            return Err(forked().at_gate(self.cell.tag.clone()));
        }
        let shown = self.cell.shown.lock();
        if let Some(error) = &shown.ended {
            return Err(error.clone().at_gate(self.cell.tag.clone()));
        }
        self.memory = shown.memory.clone();
        // While the lock is held: later changes of this cell count later.
        self.seen = fork::changes();
        Ok(())
    }

    #[cold]
    fn no_value(&self, copied: Copied) -> Error {
        let writer = self.cell.shown().writer;
        let error = match copied {
            Copied::Busy => {
                let text = format!(
                    "plugin `{writer}` wrote the cell each of the {TRIES} times that it was copied: read it again, or have it \
                     written less often"
                );
                Error::new(Code::Busy, text)
            }
            _ => {
                let text = format!("plugin `{writer}` has not written the cell yet");
                Error::new(Code::NotReady, text)
            }
        };
        error.at_gate(self.cell.tag.clone())
    }

    #[cold]
    fn wrong(&self, error: &Error) -> Error {
        let writer = self.cell.shown().writer;
        let text = format!(
            "plugin `{writer}` wrote what is no value of the cell's type: {}",
            error.message()
        );
        Error::new(Code::Protocol, text).at_gate(self.cell.tag.clone())
    }
}

impl Clone for Copier {
    fn clone(&self) -> Copier {
        Copier::new(self.cell.clone())
    }
}
