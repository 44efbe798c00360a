//! Values of plain numbers and vectors of them, taken out of their archive where that lies, in memory
//! that its writer may still change.
//!
//! Other values are taken out of a private copy of the whole archive, which is checked first. That
//! copy is what a long vector of numbers can do without: any bytes are a number, so there is only the
//! vector's place to be checked, of which a private copy is made. Each byte is read once.

use core::cell::Cell;

use callgate_layout::payload::PayloadView;
use callgate_layout::view::Number;
use rkyv::Archive;

use super::GateType;

/// Bytes of an archived vector: where its elements are, from its own place, and how many there are.
const VECTOR: usize = 8;

/// An archive where it lies.
#[derive(Debug)]
pub struct Direct<'a> {
    payload: &'a PayloadView<'a>,
    /// Where the elements of the next vector may begin. They lie one behind the other, or else eight
    /// vectors could be made of the same elements.
    free: Cell<usize>,
}

/// Takes a value out of its archive where that lies, if it is one that can be taken so. Where this is
/// `None` a private copy shows what it is, or what is wrong with it.
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
    /// A number's bytes.
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.payload.copy_at(at, &mut bytes).then_some(bytes)
    }

    /// A vector of numbers.
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
