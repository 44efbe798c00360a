//! Values that are made of numbers alone, copied out of a cell: any bytes are one, so there is nothing to check, and no copy is made for
//! that.

use callgate_layout::cells::{CellReader, Copied};
use callgate_layout::view::{Number, bytes_mut};

use super::GateType;

/// A value, or why there was none.
#[doc(hidden)]
pub type Read<T> = Result<T, Copied>;

/// Reads a value of a type that is made of numbers, by way of as many words; `None` where it is none, or long.
#[inline(always)]
pub(super) fn read<T: GateType>(cell: &CellReader) -> Option<Read<T>> {
    if !T::IS_PLAIN {
        return None;
    }
    match size_of::<T::Archived>() {
        0..=8 => by_words::<T, 1>(cell),
        9..=16 => by_words::<T, 2>(cell),
        17..=32 => by_words::<T, 4>(cell),
        33..=64 => by_words::<T, 8>(cell),
        65..=128 => by_words::<T, 16>(cell),
        _ => None,
    }
}

#[inline(always)]
fn by_words<T: GateType, const WORDS: usize>(cell: &CellReader) -> Option<Read<T>> {
    let mut words = [0; WORDS];
    let bytes = bytes_mut(&mut words).get_mut(..size_of::<T::Archived>())?;
    match cell.read(bytes) {
        Copied::Value => T::of_words(&words, 0).map(Ok),
        other => Some(Err(other)),
    }
}

/// Reads numbers straight to where they are wanted.
#[inline(always)]
pub(super) fn read_many<T: Number, const N: usize>(cell: &CellReader, zero: T) -> Read<[T; N]> {
    let mut numbers = [zero; N];
    match cell.read(bytes_mut(&mut numbers)) {
        Copied::Value => Ok(numbers),
        other => Err(other),
    }
}

/// So many bytes from byte `at` on, which is a multiple of their number; 8 of them at most.
#[inline(always)]
pub(super) fn bytes<const N: usize>(words: &[u64], at: usize) -> Option<[u8; N]> {
    let word = words.get(at / 8)?.to_le_bytes();
    word.get(at % 8..)?.first_chunk().copied()
}
