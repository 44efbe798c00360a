//! Cells: a value of a fixed size that one plugin writes again and again, and that others copy.
//!
//! ```text
//! cell            0 count u64      values written; the newest lies in buffer count & 1; 0: none
//!                64 buffer 0       as many bytes as a value has, rounded up to 64
//!         64 + size buffer 1       the same
//! ```
//!
//! All of it is written by one plugin; its memory is sealed before anybody else has it. Zeroed memory is a valid cell
//! without a value.
//!
//! **Sync point** CELL-WRITTEN. The writer fills the buffer in which the newest value does not lie, and then stores `count`
//! (release); who reads `count` (acquire) finds the newest value whole, or written over since.
//!
//! **Sync point** CELL-MOVED. The writer stores `count`, fences (release), and only then writes over the value before. A reader copies
//! a value, fences (acquire), and looks at `count` again: if it has copied any word of the next round in this buffer, it
//! sees that `count` has moved, and throws its copy away.
//!
//! A writer that dies anywhere has not stored `count`: the last value stays, whole.

use crate::atomic::{Ordering, fence};
use crate::view::{Part, ReadView, WriteView};

/// The longest value, in bytes.
pub const MAX_VALUE: u32 = 4096;

/// How often a value is copied that was written over meanwhile, before that is told.
pub const TRIES: u32 = 64;

const COUNT: usize = 0;
const BUFFERS: usize = 64;

// The byte table above, held against the code: whoever changes it changes the version.
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

/// Where the value lies that is, or will be, the one with this number.
#[inline]
fn place(number: u64, stride: usize) -> usize {
    BUFFERS + (number & 1) as usize * stride
}

/// Whether memory of so many bytes has cells with such values.
fn has_room(memory: usize, len: usize) -> bool {
    (1..=MAX_VALUE as usize).contains(&len) && memory >= cell_len(len as u32) as usize
}

/// The one who writes a cell. How many values it has is private.
#[derive(Debug)]
pub struct CellWriter {
    cell: WriteView,
    len: usize,
    /// Bytes from one buffer to the other.
    stride: usize,
    count: u64,
}

impl CellWriter {
    /// The writer of a cell without a value, whose values have so many bytes; `None` where the memory is no such cell.
    pub fn new(cell: WriteView, len: usize) -> Option<CellWriter> {
        has_room(cell.as_read().len(), len).then(|| CellWriter {
            cell,
            len,
            stride: buffer_len(len),
            count: 0,
        })
    }

    /// Writes a value, which has as many bytes as all of this cell.
    #[inline]
    pub fn write(&mut self, value: &[u8]) {
        debug_assert_eq!(value.len(), self.len);
        // CELL-MOVED, the writer's fence: the count of the value before is seen by who sees a word of this one.
        fence(Ordering::Release);
        let number = self.count.wrapping_add(1);
        self.cell.copy_in(place(number, self.stride), value);
        self.count = number;
        // CELL-WRITTEN, release.
        self.cell.store64(COUNT, number, Ordering::Release);
    }
}

/// A cell that this plugin reads. Everything in it is a stranger's word: a value is copied, and then checked by who
/// knows its type.
#[derive(Clone, Debug)]
pub struct CellReader {
    cell: ReadView,
    len: usize,
    /// Bytes from one buffer to the other.
    stride: usize,
}

/// What came of reading a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// No value was written yet.
    Nothing,
    /// A value, whole.
    Value,
    /// Each copy was written over while it was made.
    Busy,
}

impl CellReader {
    /// The reader of a cell whose values have so many bytes; `None` where the memory is no such cell.
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

    /// Copies the newest value, into as many bytes as it has; tries that [`TRIES`] times where it is written over meanwhile. Without
    /// a copy, what is there afterwards means nothing.
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

    /// The same, once: whether there was a value, and was not written over meanwhile.
    #[inline(always)]
    pub fn read_once(&self, into: &mut [u8]) -> bool {
        let stride = buffer_len(into.len());
        debug_assert!(into.len() == self.len && stride == self.stride);
        self.copied(stride, |cell, at| cell.copy_out(at, into))
            .is_some()
    }

    /// The same, as the words in which the value lies; it has so many. What it does not take of the last one is zero, if the writer is a correct
    /// one.
    #[inline(always)]
    pub fn read_words<const WORDS: usize>(&self) -> Option<[u64; WORDS]> {
        let stride = const { buffer_len(8 * WORDS) };
        debug_assert!(stride == self.stride && self.len <= 8 * WORDS);
        self.copied(stride, |cell, at| cell.words(at))
    }

    /// Has the newest value copied from the place where it lies.
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
