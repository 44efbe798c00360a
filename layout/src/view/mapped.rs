//! Shared memory: a map that is accessed by atomics, or by code that does what atomics would.

use core::ptr::NonNull;
use std::sync::Arc;

use super::Number;
#[cfg(target_arch = "x86_64")]
use super::bulk;
use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::geometry::CELL_LEN;
use crate::sys::mapping::Mapping;

/// A word of a payload. Relaxed: the words around payloads order them.
pub(super) struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Words of a mapping whose bounds were checked.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a>(&'a [AtomicU64]);

impl Part<'_> {
    /// The word at byte `at`.
    #[inline(always)]
    pub(crate) fn load(&self, at: usize, order: Ordering) -> u64 {
        self.0[at / 8].load(order)
    }

    /// So many words of a payload.
    #[inline(always)]
    pub(crate) fn words<const N: usize>(&self, at: usize) -> [u64; N] {
        let words = &self.0[at / 8..][..N];
        core::array::from_fn(|index| Word(&words[index]).get())
    }

    /// Copies a payload out, sixteen bytes at a time. Code that then moves the copy on in pieces of this size need
    /// not wait until the stores have reached the cache, as it would after stores of eight bytes.
    #[inline(always)]
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        let (pieces, rest) = into.as_chunks_mut::<16>();
        let words = &self.0[at / 8..][..2 * pieces.len() + rest.len().div_ceil(8)];
        let (pairs, last) = words.split_at(2 * pieces.len());
        for (pair, piece) in pairs.as_chunks().0.iter().zip(pieces) {
            *piece = pair_of(pair);
        }
        for (word, into) in last.iter().zip(rest.chunks_mut(8)) {
            into.copy_from_slice(&Word(word).get().to_ne_bytes()[..into.len()]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn pair_of(words: &[AtomicU64; 2]) -> [u8; 16] {
    // SAFETY: `words` are borrowed, so their bytes are mapped for reading. What another process does with them does
    // not matter, and this one writes them only by atomics.
    unsafe { bulk::load_sixteen(words.as_ptr().cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn pair_of(words: &[AtomicU64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (word, into) in words.iter().zip(bytes.as_chunks_mut::<8>().0) {
        *into = Word(word).get().to_ne_bytes();
    }
    bytes
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn set_pair(words: &[AtomicU64; 2], bytes: &[u8; 16]) {
    // SAFETY: `words` are borrowed, so their bytes are mapped. Only `WriteView` calls this, and its memory is mapped
    // for writing. They are atomics, which may change behind a shared reference, and this process accesses them by
    // atomics.
    unsafe { bulk::store_sixteen(words.as_ptr().cast_mut().cast(), bytes) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn set_pair(words: &[AtomicU64; 2], bytes: &[u8; 16]) {
    for (word, bytes) in words.iter().zip(bytes.as_chunks::<8>().0) {
        Word(word).set(u64::from_ne_bytes(*bytes));
    }
}

/// A mapping, kept alive, with its address at hand.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    len: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: `base` points into a mapping that stays mapped at the same address, whatever the
// thread, until the last `Arc` of it is dropped; access goes through atomics alone.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`: every access through a shared `Memory` is atomic.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn new(mapping: Mapping) -> Memory {
        let mapping = Arc::new(mapping);
        Memory {
            base: mapping.base(),
            len: mapping.len(),
            _mapping: mapping,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn address(&self, at: usize, len: usize) -> NonNull<u8> {
        assert!(at <= self.len && self.len - at >= len);
        // SAFETY: the line above keeps `at` inside the `len` mapped bytes at `base`, or one
        // past them where no bytes are meant.
        unsafe { self.base.add(at) }
    }

    #[inline]
    fn at(&self, at: usize, size: usize) -> NonNull<u8> {
        assert!(at.is_multiple_of(size) && at < self.len && self.len - at >= size);
        // SAFETY: the line above keeps `at` inside the `len` mapped bytes at `base`.
        unsafe { self.base.add(at) }
    }

    #[inline]
    pub(super) fn word32(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `at()` gives a pointer to 4 mapped bytes (a mapping begins on a page, so
        // the multiple of 4 is aligned) which stay mapped as long as `self`, to which the
        // reference is bound. This process accesses them by 32-bit atomics alone. On a
        // read-only mapping `ReadView` only loads, which does not write on any target that
        // has 32-bit and 64-bit atomics and Linux.
        unsafe { AtomicU32::from_ptr(self.at(at, 4).as_ptr().cast()) }
    }

    #[inline]
    pub(super) fn word64(&self, at: usize) -> &AtomicU64 {
        // SAFETY: as in `word32`, with 8 bytes.
        unsafe { AtomicU64::from_ptr(self.at(at, 8).as_ptr().cast()) }
    }

    #[inline]
    pub(super) fn touch(&self, at: usize) {
        self.word64(at).load(Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn claim_cell(&self, at: usize) {
        crate::sys::cache::claim_two(self.address(at, CELL_LEN));
    }

    /// Copies a long payload out by the processor's own instruction; false if the loop over words is better.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn copy_out_at_once(&self, at: usize, into: &mut [u8]) -> bool {
        if into.len() < bulk::MIN_OUT || !bulk::is_fast() {
            return false;
        }
        let from = self.address(at, into.len());
        // SAFETY: `address` checked that the bytes from `from` on are mapped, and they stay so while `self` is
        // borrowed. `into` is borrowed mutably, so nothing else accesses it. It is private memory, which no mapping
        // of a memory file overlaps: a slice of such memory is made only of a space in an own extent (`payload.rs`),
        // which no peer writes and which is reached through another map. This process only reads the bytes at `from`
        // through this map. A ring of events is read back through the map by which it is written, but not while its
        // `RingWriter` writes.
        unsafe { bulk::copy(from.as_ptr(), into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copies a long payload in by the processor's own instruction; false if the loop over words is better.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn copy_in_at_once(&self, at: usize, from: &[u8]) -> bool {
        if from.len() < bulk::MIN_IN || !bulk::is_fast() {
            return false;
        }
        let to = self.address(at, from.len());
        // SAFETY: `address` checked that the bytes from `to` on are mapped, and they stay so while `self` is
        // borrowed; the memory of a `WriteView` is mapped for writing. `from` is borrowed, so nothing writes there.
        // Nothing else in this process reads or writes the bytes at `to` through this map: blocks belong to the one
        // run that they were taken for until it is given back, and a ring of events belongs to its `RingWriter`,
        // which is borrowed mutably. Its readers may read meanwhile, through maps of their own.
        unsafe { bulk::copy(from.as_ptr(), to.as_ptr(), from.len()) };
        true
    }

    /// Copies numbers out into a new vector by the processor's own instruction; `None` if there is no memory for it,
    /// or the instruction is slow.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn numbers<T: Number>(&self, at: usize, count: usize) -> Option<Vec<T>> {
        let len = count.checked_mul(size_of::<T>())?;
        let mut numbers: Vec<T> = Vec::new();
        if !bulk::is_fast() || numbers.try_reserve_exact(count).is_err() {
            return None;
        }
        let from = self.address(at, len);
        // SAFETY: `from` as in `copy_out_at_once`. The vector has room for `count` numbers, which are `len` bytes of
        // its own private memory.
        unsafe { bulk::copy(from.as_ptr(), numbers.as_mut_ptr().cast(), len) };
        // SAFETY: the vector has room for `count` elements, all of whose bytes have just been written,
        // and whatever was written is a `Number`.
        unsafe { numbers.set_len(count) };
        Some(numbers)
    }

    /// There is no such instruction.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn numbers<T: Number>(&self, _at: usize, _count: usize) -> Option<Vec<T>> {
        None
    }

    /// Only the loop over words is available.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn copy_out_at_once(&self, _at: usize, _into: &mut [u8]) -> bool {
        false
    }

    /// Only the loop over words is available.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn copy_in_at_once(&self, _at: usize, _from: &[u8]) -> bool {
        false
    }

    /// A word of a payload.
    #[inline]
    pub(super) fn data_word(&self, at: usize) -> Word<'_> {
        Word(self.word64(at))
    }

    /// Copies words of a payload out, four at a time: the compiler does not unroll loops over atomics.
    #[inline]
    pub(super) fn copy_words_out(&self, at: usize, into: &mut [[u8; 8]]) {
        let (fours, rest) = self.words(at, into.len()).as_chunks::<4>();
        let (into_fours, into_rest) = into.as_chunks_mut::<4>();
        for (words, into) in fours.iter().zip(into_fours) {
            for (word, into) in words.iter().zip(into) {
                *into = Word(word).get().to_ne_bytes();
            }
        }
        for (word, into) in rest.iter().zip(into_rest) {
            *into = Word(word).get().to_ne_bytes();
        }
    }

    /// Copies words of a payload in.
    #[inline]
    pub(super) fn copy_words_in(&self, at: usize, from: &[[u8; 8]]) {
        let (fours, rest) = self.words(at, from.len()).as_chunks::<4>();
        let (from_fours, from_rest) = from.as_chunks::<4>();
        for (words, from) in fours.iter().zip(from_fours) {
            for (word, from) in words.iter().zip(from) {
                Word(word).set(u64::from_ne_bytes(*from));
            }
        }
        for (word, from) in rest.iter().zip(from_rest) {
            Word(word).set(u64::from_ne_bytes(*from));
        }
    }

    /// Copies pairs of words of a payload in, each by one store, so that fewer stores wait for cache lines of other
    /// cores.
    #[inline(always)]
    pub(super) fn copy_pairs_in(&self, at: usize, from: &[[u8; 16]]) {
        let pairs = self.words(at, 2 * from.len()).as_chunks::<2>().0;
        for (pair, bytes) in pairs.iter().zip(from) {
            set_pair(pair, bytes);
        }
    }

    /// The first `len` bytes.
    #[inline(always)]
    pub(super) fn part(&self, len: usize) -> Part<'_> {
        Part(self.words(0, len / 8))
    }

    /// The words themselves, without a copy.
    #[inline]
    pub(super) fn words(&self, at: usize, count: usize) -> &[AtomicU64] {
        assert!(at.is_multiple_of(8));
        let start = self.address(at, count * 8);
        // SAFETY: `address` checked that the bytes of `count` words are mapped, and they stay
        // so while `self` lives, to which the slice is bound; the line above and a mapping's
        // own alignment make them aligned. Atomics may change behind a shared reference. As in
        // `word32`, nothing is stored through a read-only mapping.
        unsafe { core::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) }
    }
}
