//! Cells: a value of a fixed size that one plugin writes again and again, and that others copy.
//!
//! ```text
//! cell            0 count u64      values written; the newest lies in buffer count & 1; 0: none
//!                64 buffer 0       as many bytes as a value has, rounded up to 64
//!         64 + size buffer 1       the same
//! ```
//!
//! One plugin alone writes a cell; the broker seals its memory before any other plugin has it. Zeroed memory is a
//! valid cell without a value.
//!
//! **Sync point** CELL-WRITTEN. The writer fills the buffer that does not hold the newest value, and then stores `count`
//! (release); a reader that loads `count` (acquire) finds the newest value whole, or written over since.
//!
//! **Sync point** CELL-MOVED. The writer stores `count`, fences (release), and only then writes over the value before. A reader copies
//! a value, fences (acquire), and looks at `count` again: if it has copied any word of the next round in this buffer, it
//! sees that `count` has moved, and throws its copy away.
//!
//! If the writer dies while it writes a value, it has not stored `count` for it: the value before stays, whole.

use crate::atomic::{Ordering, fence};
use crate::view::{Part, ReadView, WriteView};

/// The longest value, in bytes.
pub const MAX_VALUE: u32 = 4096;

/// How often a reader copies the value anew because the writer wrote over it meanwhile, before it returns
/// [`Copied::Busy`].
pub const TRIES: u32 = 64;

const COUNT: usize = 0;
const BUFFERS: usize = 64;

// Checks the byte table above. A change of it is a change of the protocol version.
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(COUNT == 0 && BUFFERS == 64);
    assert!(cell_len(1) == 192 && cell_len(64) == 192 && cell_len(65) == 320);
};

/// Bytes of memory of a cell whose values have so many bytes.
pub const fn cell_len(value: u32) -> u32 {
    (BUFFERS + 2 * buffer_len(value as usize)) as u32
}

const fn buffer_len(value: usize) -> usize {
    value.next_multiple_of(64)
}

/// Where the value with this number lies, or will lie once it is written.
#[inline]
fn place(number: u64, stride: usize) -> usize {
    BUFFERS + (number & 1) as usize * stride
}

/// Whether `memory` bytes have room for a cell whose values have `len` bytes.
fn has_room(memory: usize, len: usize) -> bool {
    (1..=MAX_VALUE as usize).contains(&len) && memory >= cell_len(len as u32) as usize
}

/// The writer's side of a cell. The writer counts the values in private memory, and never reads the count back.
#[derive(Debug)]
pub struct CellWriter {
    cell: WriteView,
    len: usize,
    /// Bytes from one buffer to the other.
    stride: usize,
    count: u64,
}

impl CellWriter {
    /// The writer of a new cell whose values have `len` bytes; `None` if the memory is too small for that or `len` is
    /// no valid length.
    pub fn new(cell: WriteView, len: usize) -> Option<CellWriter> {
        has_room(cell.as_read().len(), len).then(|| CellWriter {
            cell,
            len,
            stride: buffer_len(len),
            count: 0,
        })
    }

    /// Writes a value, which must have the length that the cell was made for.
    #[inline]
    pub fn write(&mut self, value: &[u8]) {
        debug_assert_eq!(value.len(), self.len);
        // CELL-MOVED, the writer's fence: a reader that sees a word of this value also sees the count of the value before.
        fence(Ordering::Release);
        let number = self.count.wrapping_add(1);
        self.cell.copy_in(place(number, self.stride), value);
        self.count = number;
        // CELL-WRITTEN, release.
        self.cell.store64(COUNT, number, Ordering::Release);
    }
}

/// A cell that this plugin reads. Its bytes come from another plugin and are not trusted: the reader copies a value, and
/// the code that knows its type then validates the copy.
#[derive(Clone, Debug)]
pub struct CellReader {
    cell: ReadView,
    len: usize,
    /// Bytes from one buffer to the other.
    stride: usize,
}

/// Result of reading a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// No value was written yet.
    Nothing,
    /// A value, whole.
    Value,
    /// The writer wrote over the value during each of the [`TRIES`] copies.
    Busy,
}

impl CellReader {
    /// The reader of a cell whose values have `len` bytes; `None` if the memory is too small for that or `len` is no
    /// valid length.
    pub fn new(cell: ReadView, len: usize) -> Option<CellReader> {
        has_room(cell.len(), len).then(|| CellReader {
            cell,
            len,
            stride: buffer_len(len),
        })
    }

    /// Bytes of a value.
    pub fn value_len(&self) -> usize {
        self.len
    }

    /// Whether a value was written yet.
    pub fn has_value(&self) -> bool {
        self.cell.load64(COUNT, Ordering::Relaxed) != 0
    }

    /// Copies the newest value into `into`, which has the length of a value; copies up to [`TRIES`] times where the
    /// writer writes over the value meanwhile. Unless the result is [`Copied::Value`], the bytes in `into` mean nothing.
    pub fn read(&self, into: &mut [u8]) -> Copied {
        if !self.has_value() {
            return Copied::Nothing;
        }
        for _ in 0..TRIES {
            if self.read_once(into) {
                return Copied::Value;
            }
            core::hint::spin_loop();
        }
        Copied::Busy
    }

    /// Copies the newest value once. True if there was a value and the writer did not write over it meanwhile.
    #[inline(always)]
    pub fn read_once(&self, into: &mut [u8]) -> bool {
        let stride = buffer_len(into.len());
        debug_assert!(into.len() == self.len && stride == self.stride);
        self.copied(stride, |cell, at| cell.copy_out(at, into))
            .is_some()
    }

    /// The same, as the words in which the value lies, `WORDS` of them. The bytes of the last word beyond the value
    /// are zero if the writer is correct.
    #[inline(always)]
    pub fn read_words<const WORDS: usize>(&self) -> Option<[u64; WORDS]> {
        let stride = const { buffer_len(8 * WORDS) };
        debug_assert!(stride == self.stride && self.len <= 8 * WORDS);
        self.copied(stride, |cell, at| cell.words(at))
    }

    /// Calls `copy` with the place of the newest value; `None` if there is no value, or the writer wrote over it
    /// meanwhile.
    #[inline(always)]
    fn copied<T>(&self, stride: usize, copy: impl FnOnce(Part<'_>, usize) -> T) -> Option<T> {
        let cell = self.cell.part(BUFFERS + 2 * stride);
        // CELL-WRITTEN, acquire.
        let count = cell.load(COUNT, Ordering::Acquire);
        let copy = copy(cell, place(count, stride));
        // CELL-MOVED, the reader's fence.
        fence(Ordering::Acquire);
        let is_whole = cell.load(COUNT, Ordering::Relaxed) == count;
        (is_whole && count != 0).then_some(copy)
    }
}
