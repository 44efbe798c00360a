//! Values that consist of numbers only, copied from a cell: any bytes are valid, so they are not checked, and not
//! copied a second time for a check.

use callgate_layout::cells::CellReader;

use super::GateType;

/// Whether values of a type can be read by [`read`].
#[inline(always)]
pub(crate) fn is_read<T: GateType>() -> bool {
    let is_short = size_of::<T::Archived>() <= 128;
    T::zero().is_some() || T::IS_PLAIN && is_short
}

/// Copies a value of such a type (see [`is_read`]) once; `None` if there was no value, or it was overwritten
/// meanwhile.
#[inline(always)]
pub(crate) fn read<T: GateType>(cell: &CellReader) -> Option<T> {
    let words = const { size_of::<T::Archived>().div_ceil(8) };
    if words > 1
        && let Some(mut numbers) = T::zero()
    {
        return cell.read_once(numbers.bytes_mut()).then_some(numbers);
    }
    match words {
        0 | 1 => T::of_words(&cell.read_words::<1>()?, 0),
        2 => T::of_words(&cell.read_words::<2>()?, 0),
        3 => T::of_words(&cell.read_words::<3>()?, 0),
        4 => T::of_words(&cell.read_words::<4>()?, 0),
        5 => T::of_words(&cell.read_words::<5>()?, 0),
        6 => T::of_words(&cell.read_words::<6>()?, 0),
        7 => T::of_words(&cell.read_words::<7>()?, 0),
        8 => T::of_words(&cell.read_words::<8>()?, 0),
        _ => T::of_words(&cell.read_words::<16>()?, 0),
    }
}

/// `N` bytes from byte `at` on, which is a multiple of `N`; `N` is 8 at most.
#[inline(always)]
pub(super) fn bytes<const N: usize>(words: &[u64], at: usize) -> Option<[u8; N]> {
    let word = words.get(at / 8)?.to_le_bytes();
    word.get(at % 8..)?.first_chunk().copied()
}
