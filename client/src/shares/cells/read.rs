//! A cell that this plugin reads: where it lies now, and copying values out of it.

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

/// Where a cell lies, as the broker has said last.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    memory: Option<CellReader>,
    /// The name of who writes it, or has.
    pub(crate) writer: Arc<str>,
    /// Whether that one is there.
    pub(crate) is_current: bool,
    /// The membership in which it was shown.
    of: u64,
    /// Why it is read no more, where that is so.
    pub(crate) ended: Option<Error>,
}

impl ReadCell {
    /// One whose values have so many bytes, and that has no memory yet.
    pub(crate) fn new(tag: Arc<str>, len: usize) -> ReadCell {
        ReadCell {
            tag,
            len,
            shown: Mutex::default(),
            fork: ForkMark::here(),
        }
    }

    /// How it stands.
    pub(crate) fn shown(&self) -> Shown {
        // In a forked child another thread may have held the lock.
        match self.fork.is_here() {
            true => self.shown.lock().clone(),
            false => Shown::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.lock();
        let before = shown.memory.clone();
        change(&mut shown);
        // With the lock held, so that who sees it finds the change.
        fork::change();
        drop(shown);
        // Perhaps the last one of its map.
        drop(before);
    }

    /// It lies in this memory from now on.
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

    /// Its writer has gone.
    pub(crate) fn left(&self) {
        self.change(|shown| shown.is_current = false);
    }

    /// Writers have had time to come back to this membership's broker: one that has not has gone.
    pub(crate) fn settle(&self, of: u64) {
        if self.shown.lock().of != of {
            self.left();
        }
    }

    /// It is read no more.
    pub(crate) fn end(&self, why: &Error) {
        self.change(|shown| {
            shown.memory = None;
            shown.is_current = false;
            shown.ended.get_or_insert_with(|| why.clone());
        });
    }
}

/// Copies values out of a cell, for one thread at a time: it keeps where the cell lies, so that asking whether anything has changed is
/// all there is to do besides the copy.
pub(crate) struct Copier {
    cell: Arc<ReadCell>,
    memory: Option<CellReader>,
    /// The changes after which that was so.
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

    /// Copies it to where it is checked, because not all bytes are a value.
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

    /// There was no copy: what that is for, and how often it may be tried once more.
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

    /// Looks where the cell lies now.
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
        // Under the lock: what changes this cell later is counted later.
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
