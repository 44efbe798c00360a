//! Heap memory that loom watches, used in place of a map when loom runs.

use std::sync::Arc;

use loom::cell::UnsafeCell;

use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// What eight bytes are for, as the byte tables say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Two 32-bit words that order other memory.
    Narrow,
    /// One 64-bit word that orders other memory.
    Wide,
    /// Part of a payload.
    Data,
    /// Part of a record that may be written over while it is read.
    Overwritten,
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
    Overwritten(AtomicU64),
}

/// A payload word. The processor accesses it as a relaxed atomic, because a peer may be hostile. But between honest
/// peers the words around it order every two accesses of which one writes, as if it were plain memory. Loom fails if
/// they do not.
#[derive(Debug)]
pub(super) struct Data {
    watch: UnsafeCell<()>,
    value: core::sync::atomic::AtomicU64,
}

// SAFETY: `watch` holds no data and its pointers are never followed: it only reports accesses to loom, which lets one
// thread run at a time. `value` is an atomic.
unsafe impl Sync for Data {}

/// A word of a payload: not ordered by itself.
pub(super) enum Word<'a> {
    /// Loom checks the order of its accesses.
    Data(&'a Data),
    /// Each load may see the value from before or after a store.
    Overwritten(&'a AtomicU64),
}

impl Word<'_> {
    pub(super) fn get(&self) -> u64 {
        match self {
            Word::Data(data) => data.get(),
            Word::Overwritten(word) => word.load(Ordering::Relaxed),
        }
    }

    pub(super) fn set(&self, value: u64) {
        match self {
            Word::Data(data) => data.set(value),
            Word::Overwritten(word) => word.store(value, Ordering::Relaxed),
        }
    }
}

impl Data {
    fn get(&self) -> u64 {
        self.watch.with(|_| ());
        self.value.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.watch.with_mut(|_| ());
        self.value.store(value, Ordering::Relaxed);
    }
}

/// The whole memory.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a>(&'a Memory);

impl Part<'_> {
    pub(crate) fn load(&self, at: usize, order: Ordering) -> u64 {
        self.0.word64(at).load(order)
    }

    pub(crate) fn words<const N: usize>(&self, at: usize) -> [u64; N] {
        core::array::from_fn(|index| self.0.data_word(at + 8 * index).get())
    }

    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        for (into, at) in into.chunks_mut(8).zip((at..).step_by(8)) {
            into.copy_from_slice(&self.0.data_word(at).get().to_ne_bytes()[..into.len()]);
        }
    }
}

impl Memory {
    pub(super) fn new(uses: impl IntoIterator<Item = Use>) -> Memory {
        let place = |used| match used {
            Use::Narrow => Place::Narrow([AtomicU32::new(0), AtomicU32::new(0)]),
            Use::Wide => Place::Wide(AtomicU64::new(0)),
            Use::Overwritten => Place::Overwritten(AtomicU64::new(0)),
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
            Place::Wide(word) | Place::Overwritten(word) => word,
            other => panic!("byte {at} as a 64-bit word, but it is {other:?}"),
        }
    }

    pub(super) fn part(&self, len: usize) -> Part<'_> {
        assert!(len <= self.len());
        Part(self)
    }

    /// This has no effect that a program can see.
    pub(super) fn touch(&self, _at: usize) {}

    /// This has no effect that a program can see.
    pub(super) fn claim_cell(&self, _at: usize) {}

    /// Loom must see the access to every word.
    pub(super) fn copy_out_at_once(&self, _at: usize, _into: &mut [u8]) -> bool {
        false
    }

    /// Loom must see the access to every word.
    pub(super) fn copy_in_at_once(&self, _at: usize, _from: &[u8]) -> bool {
        false
    }

    pub(super) fn copy_words_out(&self, at: usize, into: &mut [[u8; 8]]) {
        for (into, at) in into.iter_mut().zip((at..).step_by(8)) {
            *into = self.data_word(at).get().to_ne_bytes();
        }
    }

    pub(super) fn copy_words_in(&self, at: usize, from: &[[u8; 8]]) {
        for (from, at) in from.iter().zip((at..).step_by(8)) {
            self.data_word(at).set(u64::from_ne_bytes(*from));
        }
    }

    pub(super) fn copy_pairs_in(&self, at: usize, from: &[[u8; 16]]) {
        self.copy_words_in(at, from.as_flattened().as_chunks().0);
    }

    pub(super) fn data_word(&self, at: usize) -> Word<'_> {
        assert!(at.is_multiple_of(8));
        match &self.places[at / 8] {
            Place::Data(data) => Word::Data(data),
            Place::Overwritten(word) => Word::Overwritten(word),
            other => panic!("byte {at} as payload, but it is {other:?}"),
        }
    }
}
