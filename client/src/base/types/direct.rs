//! Values of plain numbers and vectors of them, read directly from an archive in shared memory that its writer may
//! still change.
//!
//! Other values are read from a private copy of the whole archive, which is checked first. A long vector of numbers
//! can do without that copy: any bytes are valid numbers, so only the vector's place has to be checked, and only
//! that is copied for it. Each byte is read once.

use core::cell::Cell;

use callgate_layout::payload::PayloadView;
use callgate_layout::view::Number;
use rkyv::Archive;

use super::GateType;

/// The bytes of an archived vector: the offset of its elements from its own place, and their number.
const VECTOR: usize = 8;

/// An archive in shared memory.
#[derive(Debug)]
pub struct Direct<'a> {
    payload: &'a PayloadView<'a>,
    /// The first place at which the elements of the next vector may begin. The vectors' elements must lie one after
    /// the other; otherwise one run of elements could be claimed by eight vectors.
    free: Cell<usize>,
}

/// Reads a value directly from its archive, if its type allows. `None` says nothing about the archive: the caller
/// reads it from a private copy, and finds errors there.
#[inline]
pub(crate) fn take<T: GateType>(payload: &PayloadView<'_>) -> Option<T> {
    let direct = Direct {
        payload,
        free: Cell::new(0),
    };
    // The root is at the end.
    let root = payload.len().checked_sub(size_of::<T::Archived>())?;
    T::take(&direct, root)
}

impl Direct<'_> {
    /// Reads the bytes of a number.
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.payload.copy_at(at, &mut bytes).then_some(bytes)
    }

    /// Reads a vector of numbers.
    pub(super) fn numbers<T: Archive + Number>(&self, at: usize) -> Option<Vec<T>> {
        let [a, b, c, d, count @ ..] = self.bytes::<VECTOR>(at)?;
        let count = u32::from_le_bytes(count) as usize;
        let distance = i32::from_le_bytes([a, b, c, d]);
        let start = at.checked_add_signed(isize::try_from(distance).ok()?)?;
        let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
        let is_aligned = start.is_multiple_of(align_of::<T::Archived>());
        if !is_aligned || start < self.free.get() || end > at {
            return None;
        }
        self.free.set(end);
        self.payload.numbers(start, count)
    }
}

#[cfg(test)]
mod tests;
