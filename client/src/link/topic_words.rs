//! Which topic words of a doorbell page are in use. Plugins that share the page share this too.

use std::sync::Arc;

use callgate_layout::events::{self, TOPIC_WORDS};
use callgate_layout::pages::Doorbell;
use callgate_layout::sys::futex::Awaited;
use parking_lot::Mutex;

const WORDS: usize = TOPIC_WORDS as usize;
const BITS: usize = u64::BITS as usize;

/// The topic words of a doorbell page.
#[derive(Debug)]
pub(crate) struct TopicWords {
    doorbell: Arc<Doorbell>,
    taken: Mutex<Taken>,
}

/// A bit for each word in use, and the index at which the next search for a free one begins.
#[derive(Debug)]
struct Taken {
    bits: Box<[u64; WORDS / BITS]>,
    next: usize,
}

impl TopicWords {
    pub(crate) fn new(doorbell: Arc<Doorbell>) -> TopicWords {
        let taken = Taken {
            bits: Box::new([0; WORDS / BITS]),
            next: 0,
        };
        TopicWords {
            doorbell,
            taken: Mutex::new(taken),
        }
    }

    /// Takes a word for a source; `None` if all are in use.
    pub(crate) fn take(self: &Arc<Self>) -> Option<TopicWord> {
        let mut taken = self.taken.lock();
        // Words are taken in turn, because one that was just given back may still be armed by a listener of its
        // last source.
        let words = (0..WORDS).map(|ahead| (taken.next + ahead) % WORDS);
        let index = { words }.find(|word| taken.bits[word / BITS] >> (word % BITS) & 1 == 0)?;
        taken.bits[index / BITS] |= 1 << (index % BITS);
        taken.next = (index + 1) % WORDS;
        Some(TopicWord {
            words: self.clone(),
            doorbell: self.doorbell.clone(),
            // Fits: there are fewer than 2^16 words.
            index: index as u16,
        })
    }
}

/// A topic word that a source uses. It becomes free when this is dropped.
#[derive(Debug)]
pub(crate) struct TopicWord {
    words: Arc<TopicWords>,
    /// The page, kept here to save a lookup.
    doorbell: Arc<Doorbell>,
    index: u16,
}

impl TopicWord {
    /// Its index in the doorbell page.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Whether a listener is about to sleep, or sleeps. To be called after something was published; costs a fence
    /// and a load.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        events::is_armed(&self.doorbell, self.index)
    }

    /// Disarms the word: listeners that go to sleep from here on arm it again. The caller then looks for those that
    /// sleep.
    pub(crate) fn disarm(&self) {
        self.doorbell.disarm(self.index);
    }

    /// The value of *room*, on which a thread sleeps that waits for listeners. To be read before it looks at the
    /// cursors.
    pub(crate) fn room(&self) -> u32 {
        self.doorbell.room(self.index)
    }

    /// The word *room* with the value that was `seen`, to sleep on.
    pub(crate) fn awaited(&self, seen: u32) -> Awaited<'_> {
        self.doorbell.awaited(self.index, seen)
    }

    /// Wakes the threads that wait for listeners.
    pub(crate) fn wake(&self) {
        self.doorbell.wake_room(self.index);
    }
}

impl Drop for TopicWord {
    fn drop(&mut self) {
        let index = usize::from(self.index);
        self.words.taken.lock().bits[index / BITS] &= !(1 << (index % BITS));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use callgate_layout::pages::DOORBELL_LEN;
    use callgate_layout::sys::mapping::Mapping;
    use callgate_layout::sys::memfd;
    use callgate_layout::view::WriteView;

    use super::*;

    fn words() -> Arc<TopicWords> {
        let page = memfd::create("test", DOORBELL_LEN).unwrap();
        let page = WriteView::new(Mapping::writable(page, DOORBELL_LEN).unwrap()).unwrap();
        Arc::new(TopicWords::new(Arc::new(Doorbell::new(page))))
    }

    /// If two sources had one word, each would be woken for the other, and one might take the other's wake-up away.
    #[test]
    fn each_source_has_a_word_of_its_own_as_long_as_there_are_any() {
        let words = words();
        let taken: Vec<_> = std::iter::from_fn(|| words.take()).collect();
        let indexes: HashSet<_> = taken.iter().map(TopicWord::index).collect();
        assert_eq!((taken.len(), indexes.len()), (WORDS, WORDS));
        drop(taken);
        let again: Vec<_> = std::iter::from_fn(|| words.take()).collect();
        assert_eq!(again.len(), WORDS, "each is free again");
    }

    /// A listener that had not learnt of the end yet armed the word for the next source.
    #[test]
    fn a_word_that_was_given_back_is_the_last_to_be_taken_again() {
        let words = words();
        let next = |_| words.take().unwrap().index();
        assert!((0..100).map(next).eq(0..100));
        let _kept = words.take();
        assert!((0..WORDS - 1).map(next).all(|index| index != 100));
    }
}
