//! Views of shared memory: all bytes that other processes can write are accessed through them.
//!
//! Peer-writable memory never becomes a reference to plain data. It is read and written in
//! whole words, by atomics, and payloads are copied word by word, long ones byte by byte by the
//! processor's own instruction where it has a fast one (`bulk.rs`). Each word that orders others is
//! only ever accessed in one size, 32 or 64 bits, as the byte tables say.
//!
//! Offsets are the program's own or were checked against the private [`Geometry`](crate::Geometry)
//! before they come here; one out of bounds is a bug and panics.

#[cfg(all(target_arch = "x86_64", not(callgate_loom)))]
mod bulk;
#[cfg(callgate_loom)]
mod heap;
#[cfg(not(callgate_loom))]
mod mapped;
mod number;

use crate::atomic::Ordering;
#[cfg(callgate_loom)]
use heap::Memory;
#[cfg(not(callgate_loom))]
use mapped::Memory;

#[cfg(callgate_loom)]
pub(crate) use heap::Part;
#[cfg(callgate_loom)]
pub use heap::Use;
#[cfg(not(callgate_loom))]
pub(crate) use mapped::Part;
pub use number::{Number, bytes_mut};

/// A part of shared memory that this process reads.
#[derive(Clone, Debug)]
pub struct ReadView {
    memory: Memory,
}

/// A part of shared memory that this process writes (and may read back).
#[derive(Debug)]
pub struct WriteView {
    read: ReadView,
}

impl ReadView {
    /// The number of bytes in view.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether there is nothing in view.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The 32-bit word at byte `at`.
    #[inline]
    pub(crate) fn load32(&self, at: usize, order: Ordering) -> u32 {
        self.memory.word32(at).load(order)
    }

    /// The 64-bit word at byte `at`.
    #[inline]
    pub(crate) fn load64(&self, at: usize, order: Ordering) -> u64 {
        self.memory.word64(at).load(order)
    }

    /// Copies the bytes from `at` on into private memory, by relaxed loads.
    ///
    /// `at` is a multiple of 8; the last word may be read whole where fewer bytes are wanted.
    #[inline(always)]
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        if !self.memory.copy_out_at_once(at, into) {
            self.copy_out_by_words(at, into);
        }
    }

    #[inline(always)]
    fn copy_out_by_words(&self, at: usize, into: &mut [u8]) {
        let (whole, rest) = into.as_chunks_mut::<8>();
        self.memory.copy_words_out(at, whole);
        if !rest.is_empty() {
            let word = self.memory.data_word(at + 8 * whole.len());
            rest.copy_from_slice(&word.get().to_ne_bytes()[..rest.len()]);
        }
    }

    /// The first `len` bytes, a multiple of 8: the bounds are checked once for all reads in them.
    #[inline(always)]
    pub(crate) fn part(&self, len: usize) -> Part<'_> {
        self.memory.part(len)
    }

    /// Tells the processor that the cell at `at` will be written by this process soon.
    #[inline(always)]
    pub(crate) fn claim_cell(&self, at: usize) {
        self.memory.claim_cell(at);
    }

    /// Fetches the cache line at `at` while this core waits for another line.
    #[inline]
    pub(crate) fn touch(&self, at: usize) {
        self.memory.touch(at);
    }

    /// The address of `len` mapped bytes from `at` on.
    #[cfg(not(callgate_loom))]
    pub(crate) fn address(&self, at: usize, len: usize) -> core::ptr::NonNull<u8> {
        self.memory.address(at, len)
    }

    /// Copies numbers, stored in the byte order of little-endian processors, from byte `at` on into a new vector;
    /// `None` if there is no memory for it, or no instruction.
    #[cfg(not(callgate_loom))]
    pub(crate) fn numbers<T: Number>(&self, at: usize, count: usize) -> Option<Vec<T>> {
        self.memory.numbers(at, count)
    }

    /// The 64-bit words from byte `at` on, a multiple of 8. Through a [`ReadView`] they are only loaded.
    #[cfg(not(callgate_loom))]
    #[inline]
    pub(crate) fn words(&self, at: usize, count: usize) -> &[crate::atomic::AtomicU64] {
        self.memory.words(at, count)
    }

    /// The word at `at` as the kernel's futex calls want it.
    #[cfg(not(callgate_loom))]
    pub(crate) fn futex(&self, at: usize) -> &crate::atomic::AtomicU32 {
        self.memory.word32(at)
    }
}

impl WriteView {
    /// The same memory, for reading back.
    #[inline]
    pub fn as_read(&self) -> &ReadView {
        &self.read
    }

    /// Tells the processor that the cell at `at` will be written here soon.
    #[inline(always)]
    pub(crate) fn claim_cell(&self, at: usize) {
        self.read.claim_cell(at);
    }

    /// The address of `len` mapped bytes from `at` on, to write to.
    #[cfg(not(callgate_loom))]
    pub(crate) fn address(&self, at: usize, len: usize) -> core::ptr::NonNull<u8> {
        self.read.memory.address(at, len)
    }

    /// Stores the 32-bit word at byte `at`.
    #[inline]
    pub(crate) fn store32(&self, at: usize, value: u32, order: Ordering) {
        self.read.memory.word32(at).store(value, order);
    }

    /// Stores the 64-bit word at byte `at`.
    #[inline]
    pub(crate) fn store64(&self, at: usize, value: u64, order: Ordering) {
        self.read.memory.word64(at).store(value, order);
    }

    /// Stores words that follow each other, by relaxed stores; they are parts of a payload.
    #[inline(always)]
    pub(crate) fn store_words<const N: usize>(&self, at: usize, words: [u64; N]) {
        let words = words.map(u64::to_ne_bytes);
        self.read.memory.copy_words_in(at, &words);
    }

    /// Adds one to the 64-bit word at byte `at` and returns its old value. Uses a locked instruction only if other
    /// threads do the same.
    #[inline]
    pub(crate) fn count(&self, at: usize, together: bool) -> u64 {
        let word = self.read.memory.word64(at);
        if together {
            return word.fetch_add(1, Ordering::Relaxed);
        }
        let before = word.load(Ordering::Relaxed);
        word.store(before.wrapping_add(1), Ordering::Relaxed);
        before
    }

    /// Adds to the 32-bit word at byte `at`, wrapping.
    pub(crate) fn add32(&self, at: usize, value: u32, order: Ordering) {
        self.read.memory.word32(at).fetch_add(value, order);
    }

    /// Copies private bytes to `at` by relaxed stores. Nothing else in this process reads or writes there. The last
    /// word may be filled up with zeros.
    #[inline(always)]
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        if self.read.memory.copy_in_at_once(at, from) {
            return;
        }
        self.copy_in_by_words(at, from);
    }

    /// As [`WriteView::copy_in`], by fewer stores, for lines that other cores hold: each store may have to wait for
    /// its line.
    #[inline(always)]
    pub(crate) fn copy_in_by_pairs(&self, at: usize, from: &[u8]) {
        if self.read.memory.copy_in_at_once(at, from) {
            return;
        }
        let (pairs, rest) = from.as_chunks::<16>();
        self.read.memory.copy_pairs_in(at, pairs);
        self.copy_in_by_words(at + from.len() - rest.len(), rest);
    }

    #[inline(always)]
    fn copy_in_by_words(&self, at: usize, from: &[u8]) {
        let (whole, rest) = from.as_chunks::<8>();
        self.read.memory.copy_words_in(at, whole);
        if !rest.is_empty() {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            let word = self.read.memory.data_word(at + 8 * whole.len());
            word.set(u64::from_ne_bytes(bytes));
        }
    }
}

#[cfg(not(callgate_loom))]
impl ReadView {
    /// A view of a whole mapping, read-only or not.
    pub fn new(mapping: crate::sys::mapping::Mapping) -> ReadView {
        ReadView {
            memory: Memory::new(mapping),
        }
    }
}

#[cfg(not(callgate_loom))]
impl WriteView {
    /// A view of a whole writable mapping; `None` where it is read-only.
    pub fn new(mapping: crate::sys::mapping::Mapping) -> Option<WriteView> {
        mapping.is_writable().then(|| WriteView {
            read: ReadView::new(mapping),
        })
    }
}

#[cfg(callgate_loom)]
impl WriteView {
    /// Zeroed heap memory in place of a mapping; one `Use` for every eight bytes.
    pub fn heap(uses: impl IntoIterator<Item = Use>) -> WriteView {
        WriteView {
            read: ReadView {
                memory: Memory::new(uses),
            },
        }
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests;
