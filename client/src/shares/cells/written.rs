//! A cell that this plugin writes: in the current membership's memory and, for a while, in that of older ones.

use callgate_layout::Code;
use callgate_layout::cells::{CellReader, CellWriter, Copied};
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::view::{ReadView, WriteView};
use parking_lot::Mutex;
use rkyv::util::AlignedVec;

use super::no_cell;
use crate::base::archive;
use crate::base::error::{Error, Result, forked};
use crate::base::types::{Failed, GateType};

/// A cell that this plugin writes.
pub(crate) struct WrittenCell {
    len: usize,
    /// Checks that bytes are a value of the type.
    is_value: fn(&[u8]) -> bool,
    state: Mutex<State>,
    fork: ForkMark,
}

struct State {
    /// The cell in each membership, the oldest first.
    places: Vec<Place>,
    /// The number of the newest membership that has ended.
    left: u64,
    /// The archive of the last value, if `has_value`.
    last: AlignedVec<{ archive::ALIGNMENT }>,
    has_value: bool,
    /// The buffer for the next value's archive.
    next: AlignedVec<{ archive::ALIGNMENT }>,
    /// Why nothing can be written any more; `None` while it can.
    ended: Option<Error>,
}

/// The cell in one membership.
struct Place {
    /// The membership's number.
    of: u64,
    cell: CellWriter,
}

impl WrittenCell {
    /// A cell whose values have `len` bytes, without memory yet.
    pub(crate) fn new<T: GateType>(len: usize) -> WrittenCell {
        let buffer = || {
            let mut buffer = AlignedVec::with_capacity(len);
            buffer.resize(len, 0);
            buffer
        };
        let state = State {
            places: Vec::new(),
            left: 0,
            last: buffer(),
            has_value: false,
            next: buffer(),
            ended: None,
        };
        WrittenCell {
            len,
            is_value: |bytes| archive::access::<T>(bytes).is_ok(),
            state: Mutex::new(state),
            fork: ForkMark::here(),
        }
    }

    /// Writes a value into the cell's memory in every membership.
    #[inline]
    pub(crate) fn set<T: GateType>(&self, value: &T) -> Result<()> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        let mut state = self.state.lock();
        let State {
            places,
            last,
            has_value,
            next,
            ended,
            ..
        } = &mut *state;
        if let Some(error) = ended {
            return Err(error.clone());
        }
        if archive::serialize_into(value, next) != Some(self.len) {
            return Err(unfit(value, next));
        }
        for place in places {
            place.cell.write(next);
        }
        std::mem::swap(last, next);
        *has_value = true;
        Ok(())
    }

    /// Adds memory into which the cell is written from now on as well. It begins with the last value that this
    /// plugin wrote, or otherwise with that of the writer before (`before`).
    pub(crate) fn add(&self, of: u64, memory: WriteView, before: Option<ReadView>) -> Result<()> {
        let mut cell = CellWriter::new(memory, self.len).ok_or_else(no_cell)?;
        let before = before.and_then(|memory| CellReader::new(memory, self.len));
        let mut state = self.state.lock();
        let State {
            last, has_value, ..
        } = &mut *state;
        if let Some(before) = before.filter(|_| !*has_value) {
            // A writer that was killed has left a whole value. One that still writes although it has gone perhaps
            // has not, and a hostile one has left anything, for which readers would blame this plugin. So the bytes
            // are checked.
            *has_value = before.read(last) == Copied::Value && (self.is_value)(last);
        }
        if state.ended.is_some() {
            return Ok(());
        }
        if state.has_value {
            cell.write(&state.last);
        }
        state.places.push(Place { of, cell });
        let left = state.take_left();
        drop(state);
        drop(left);
        Ok(())
    }

    /// Notes that a membership has ended: its readers read elsewhere by now. The newest memory stays until there is
    /// a newer one.
    pub(crate) fn leave(&self, of: u64) {
        let mut state = self.state.lock();
        state.left = state.left.max(of);
        let left = state.take_left();
        drop(state);
        // Unmapped after the lock was released, so that nobody waits for that.
        drop(left);
    }

    /// Makes all further writes fail with this error, and unmaps the memory.
    pub(crate) fn end(&self, why: &Error) {
        let mut state = self.state.lock();
        state.ended.get_or_insert_with(|| why.clone());
        let places = std::mem::take(&mut state.places);
        drop(state);
        drop(places);
    }

    /// Why nothing can be written any more; `None` while it can.
    pub(crate) fn ended(&self) -> Option<Error> {
        if !self.fork.is_here() {
            return Some(forked());
        }
        self.state.lock().ended.clone()
    }
}

impl State {
    /// Takes out the memory in memberships that have ended, except the newest memory.
    fn take_left(&mut self) -> Vec<Place> {
        let older = self.places.len().saturating_sub(1);
        let left = self.left;
        let is_left = |place: &mut Place| place.of <= left;
        self.places.extract_if(..older, is_left).collect()
    }
}

/// The error for a value whose archive does not have the size of its type's archives.
#[cold]
fn unfit<T: GateType>(value: &T, space: &mut [u8]) -> Error {
    match archive::serialize_in(value, space) {
        Err(Failed::Unfit(why)) => why.error("values of a cell"),
        _ => {
            let text = "the archive of the value has not the size that those of its type have";
            Error::new(Code::InvalidArgument, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use callgate_layout::cells::cell_len;
    use callgate_layout::sys::{mapping::Mapping, memfd};

    use super::*;

    /// The memory of a cell, as its writer and its readers have it.
    fn memory() -> (WriteView, ReadView) {
        let len = cell_len(1) as usize;
        let file = memfd::create("test-cell", len).unwrap();
        let read = Mapping::read_only(file.try_clone().unwrap(), len).unwrap();
        let write = Mapping::writable(file, len).unwrap();
        (WriteView::new(write).unwrap(), ReadView::new(read))
    }

    /// What a hostile writer had left was copied unchecked, and readers blamed the next writer, which had written
    /// nothing.
    #[test]
    fn what_the_writer_before_has_left_is_checked() {
        for (left, copied) in [(1, Copied::Value), (7, Copied::Nothing)] {
            let (write, before) = memory();
            CellWriter::new(write, 1).unwrap().write(&[left]);
            let (write, read) = memory();
            let cell = WrittenCell::new::<bool>(1);
            cell.add(1, write, Some(before)).unwrap();
            let read = CellReader::new(read, 1).unwrap();
            assert_eq!(read.read(&mut [0]), copied, "{left}");
        }
    }
}
