//! Views of shared memory: the only door through which foreign-writable bytes are touched.
//!
//! Peer-writable memory never becomes a reference to plain data. It is read and written in
//! whole words, by atomics, and payloads are copied word by word. Each word is only ever
//! accessed in one size, 32 or 64 bits, as the byte tables say.
//!
//! Offsets are the program's own or were checked against the private [`Geometry`](crate::Geometry)
//! before they come here; one out of bounds is a bug and panics.

use crate::atomic::Ordering;
use memory::Memory;

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

    /// Copies the bytes from `at` on into private memory, by relaxed loads of whole words.
    ///
    /// `at` is a multiple of 8; the last word is read whole even where fewer bytes are wanted.
    #[inline(always)]
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        let mut words = self.memory.data(at, into.len().div_ceil(8));
        let (whole, rest) = into.as_chunks_mut::<8>();
        for (bytes, word) in whole.iter_mut().zip(&mut words) {
            *bytes = word.get().to_ne_bytes();
        }
        if let Some(word) = words.next() {
            rest.copy_from_slice(&word.get().to_ne_bytes()[..rest.len()]);
        }
    }

    /// Fetches the cache line at `at` while it is waited for another.
    #[inline]
    pub(crate) fn touch(&self, at: usize) {
        self.memory.touch(at);
    }

    /// The address of `len` mapped bytes from `at` on.
    #[cfg(not(callgate_loom))]
    pub(crate) fn address(&self, at: usize, len: usize) -> core::ptr::NonNull<u8> {
        self.memory.address(at, len)
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

    /// Tells the processor that the cache line at `at` will be written here soon.
    #[inline(always)]
    pub(crate) fn claim(&self, at: usize) {
        self.read.memory.claim(at);
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

    /// Adds one to the 64-bit word at byte `at` and returns what it was; by a locked instruction
    /// only where other threads do the same.
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

    /// Copies private bytes to `at`, by relaxed stores of whole words; the last word is filled
    /// up with zeros.
    #[inline(always)]
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        let mut words = self.read.memory.data(at, from.len().div_ceil(8));
        let (whole, rest) = from.as_chunks::<8>();
        for (bytes, word) in whole.iter().zip(&mut words) {
            word.set(u64::from_ne_bytes(*bytes));
        }
        if let Some(word) = words.next() {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            word.set(u64::from_ne_bytes(bytes));
        }
    }
}

#[cfg(not(callgate_loom))]
mod memory {
    use core::ptr::NonNull;
    use std::sync::Arc;

    use crate::atomic::{AtomicU32, AtomicU64, Ordering};
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
        pub(super) fn claim(&self, at: usize) {
            crate::sys::cache::claim(self.at(at, 8));
        }

        /// Some words of a payload, whose place is checked once for all of them.
        #[inline]
        pub(super) fn data(&self, at: usize, count: usize) -> impl Iterator<Item = Word<'_>> {
            assert!(at.is_multiple_of(8));
            let start = self.address(at, count * 8);
            // SAFETY: `address` checked that the bytes of `count` words are mapped, and they stay
            // so while `self` lives, to which the slice is bound; the line above and a mapping's
            // own alignment make them aligned. Atomics may change behind a shared reference. As in
            // `word32`, nothing is stored through a read-only mapping.
            let words =
                unsafe { core::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) };
            words.iter().map(Word)
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
pub use memory::Use;

#[cfg(callgate_loom)]
mod memory {
    use std::sync::Arc;

    use loom::cell::UnsafeCell;

    use crate::atomic::{AtomicU32, AtomicU64};

    /// What eight bytes are for, as the byte tables say.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Use {
        /// Two 32-bit words that order other memory.
        Narrow,
        /// One 64-bit word that orders other memory.
        Wide,
        /// Part of a payload.
        Data,
    }

    /// Heap memory that loom watches. Each place allows no other use than the declared one.
    #[derive(Clone, Debug)]
    pub(super) struct Memory {
        places: Arc<[Place]>,
    }

    #[derive(Debug)]
    enum Place {
        Narrow([AtomicU32; 2]),
        Wide(AtomicU64),
        Data(Data),
    }

    /// A payload word. The processor's is a relaxed atomic, because a peer may be hostile; but
    /// between honest peers the words around it order every two accesses of which one writes,
    /// as if it were plain memory. Loom fails where they do not.
    #[derive(Debug)]
    pub(super) struct Data {
        watch: UnsafeCell<()>,
        value: core::sync::atomic::AtomicU64,
    }

    // SAFETY: `watch` holds nothing and its pointers are never followed: it only tells loom of
    // accesses, of which loom lets one thread run at a time. `value` is an atomic.
    unsafe impl Sync for Data {}

    /// A word of a payload: not ordered by itself, and watched for that.
    pub(super) struct Word<'a>(&'a Data);

    impl Word<'_> {
        pub(super) fn get(&self) -> u64 {
            self.0.watch.with(|_| ());
            self.0.value.load(core::sync::atomic::Ordering::Relaxed)
        }

        pub(super) fn set(&self, value: u64) {
            self.0.watch.with_mut(|_| ());
            self.0
                .value
                .store(value, core::sync::atomic::Ordering::Relaxed);
        }
    }

    impl Memory {
        pub(super) fn new(uses: impl IntoIterator<Item = Use>) -> Memory {
            let place = |used| match used {
                Use::Narrow => Place::Narrow([AtomicU32::new(0), AtomicU32::new(0)]),
                Use::Wide => Place::Wide(AtomicU64::new(0)),
                Use::Data => Place::Data(Data {
                    watch: UnsafeCell::new(()),
                    value: core::sync::atomic::AtomicU64::new(0),
                }),
            };
            Memory {
                places: uses.into_iter().map(place).collect(),
            }
        }

        pub(super) fn len(&self) -> usize {
            self.places.len() * 8
        }

        pub(super) fn word32(&self, at: usize) -> &AtomicU32 {
            assert!(at.is_multiple_of(4));
            match &self.places[at / 8] {
                Place::Narrow(words) => &words[at / 4 % 2],
                other => panic!("byte {at} as a 32-bit word, but it is {other:?}"),
            }
        }

        pub(super) fn word64(&self, at: usize) -> &AtomicU64 {
            assert!(at.is_multiple_of(8));
            match &self.places[at / 8] {
                Place::Wide(word) => word,
                other => panic!("byte {at} as a 64-bit word, but it is {other:?}"),
            }
        }

        /// Changes nothing that anybody can see.
        pub(super) fn touch(&self, _at: usize) {}

        /// Changes nothing that anybody can see.
        pub(super) fn claim(&self, _at: usize) {}

        pub(super) fn data(&self, at: usize, count: usize) -> impl Iterator<Item = Word<'_>> {
            (0..count).map(move |index| Word(self.payload(at + index * 8)))
        }

        fn payload(&self, at: usize) -> &Data {
            assert!(at.is_multiple_of(8));
            match &self.places[at / 8] {
                Place::Data(data) => data,
                other => panic!("byte {at} as payload, but it is {other:?}"),
            }
        }
    }
}

#[cfg(callgate_loom)]
impl WriteView {
    /// Zeroed heap memory in the place of a mapping; one `Use` for every eight bytes.
    pub fn heap(uses: impl IntoIterator<Item = Use>) -> WriteView {
        WriteView {
            read: ReadView {
                memory: Memory::new(uses),
            },
        }
    }
}
