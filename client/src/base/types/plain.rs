//! Values that are made of numbers alone, copied out of a cell: any bytes are one, so there is nothing to check, and no copy is made for
//! that.

use callgate_layout::cells::{CellReader, Copied};
use callgate_layout::view::bytes_mut;

use super::GateType;

/// Reads a value of a type that is made of numbers; `None` where it is none, or why there was no value.
#[inline(always)]
pub(crate) fn read<T: GateType>(cell: &CellReader, copied: &mut Copied) -> Option<T> {
    if let Some(mut numbers) = T::zero() {
        *copied = cell.read(numbers.bytes_mut());
        return (*copied == Copied::Value).then_some(numbers);
    }
    if !T::IS_PLAIN {
        return None;
    }
    match size_of::<T::Archived>() {
        0..=8 => by_words::<T, 1>(cell, copied),
        9..=16 => by_words::<T, 2>(cell, copied),
        17..=32 => by_words::<T, 4>(cell, copied),
        33..=64 => by_words::<T, 8>(cell, copied),
        65..=128 => by_words::<T, 16>(cell, copied),
        _ => None,
    }
}

#[inline(always)]
fn by_words<T: GateType, const WORDS: usize>(cell: &CellReader, copied: &mut Copied) -> Option<T> {
    let mut words = [0; WORDS];
    let bytes = bytes_mut(&mut words).get_mut(..size_of::<T::Archived>())?;
    *copied = cell.read(bytes);
    match copied {
        Copied::Value => T::of_words(&words, 0),
        Copied::Nothing | Copied::Busy => None,
    }
}

/// So many bytes from byte `at` on, which is a multiple of their number; 8 of them at most.
#[inline(always)]
pub(super) fn bytes<const N: usize>(words: &[u64], at: usize) -> Option<[u8; N]> {
    let word = words.get(at / 8)?.to_le_bytes();
    word.get(at % 8..)?.first_chunk().copied()
}
