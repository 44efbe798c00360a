//! A payload's words, one after the other.

use core::slice::Iter;

use crate::atomic::{AtomicU64, Ordering};

/// The words of a payload, from [`PayloadView::words`](super::PayloadView::words), or of private
/// bytes. Each is loaded when it is asked for.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    whole: Whole<'a>,
    /// The last word, where the payload does not fill it.
    last: Option<u64>,
}

/// Words whose place is checked once for all of them: checking it for each takes several times as
/// long as loading them.
#[derive(Clone, Debug)]
enum Whole<'a> {
    Shared(Iter<'a, AtomicU64>),
    Private(Iter<'a, [u8; 8]>),
}

impl<'a> Words<'a> {
    pub(super) fn new(whole: &'a [AtomicU64], last: Option<u64>) -> Words<'a> {
        Words {
            whole: Whole::Shared(whole.iter()),
            last,
        }
    }

    /// The words of private bytes; the last one is filled up with zeros.
    pub fn of_bytes(bytes: &'a [u8]) -> Words<'a> {
        let (whole, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        Words {
            whole: Whole::Private(whole.iter()),
            last: (!rest.is_empty()).then(|| u64::from_le_bytes(last)),
        }
    }
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    u64::from_le(word.load(Ordering::Relaxed))
}

impl Iterator for Words<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        let word = match &mut self.whole {
            Whole::Shared(words) => words.next().map(load),
            Whole::Private(words) => words.next().map(|word| u64::from_le_bytes(*word)),
        };
        word.or_else(|| self.last.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let whole = match &self.whole {
            Whole::Shared(words) => words.len(),
            Whole::Private(words) => words.len(),
        };
        let left = whole + usize::from(self.last.is_some());
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<u64> {
        let left = self.len();
        let word = match &mut self.whole {
            Whole::Shared(words) => words.nth(n).map(load),
            Whole::Private(words) => words.nth(n).map(|word| u64::from_le_bytes(*word)),
        };
        // Whoever skips more than all there is skips the last one, too.
        word.or_else(|| self.last.take().filter(|_| n < left))
    }

    #[inline]
    fn fold<B, F: FnMut(B, u64) -> B>(self, start: B, mut step: F) -> B {
        let folded = match self.whole {
            Whole::Shared(words) => words.fold(start, |folded, word| step(folded, load(word))),
            Whole::Private(words) => words.fold(start, |folded, word| {
                step(folded, u64::from_le_bytes(*word))
            }),
        };
        self.last.into_iter().fold(folded, step)
    }
}

impl ExactSizeIterator for Words<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(bytes: &[u8]) -> Vec<u64> {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        words.collect()
    }

    #[test]
    fn words_come_in_order_however_they_are_taken() {
        let bytes: Vec<u8> = (0..1500_u32).map(|n| (n * 7) as u8).collect();
        for len in [0, 1, 7, 8, 9, 511, 512, 513, 520, 1023, 1024, 1025, 1500] {
            let (bytes, expected) = (&bytes[..len], naive(&bytes[..len]));
            let words = Words::of_bytes(bytes);
            assert_eq!(words.len(), expected.len());
            let mut one_by_one = Vec::new();
            let mut left = words.clone();
            while let Some(word) = left.next() {
                one_by_one.push(word);
                assert_eq!(left.len(), expected.len() - one_by_one.len());
            }
            assert_eq!(one_by_one, expected, "{len}");
            let folded = words.clone().fold(Vec::new(), |mut all, word| {
                all.push(word);
                all
            });
            assert_eq!(folded, expected, "{len}");
            for (first, step) in [(0, 3), (5, 70), (64, 64), (100, 1)] {
                let stepped: Vec<_> = words.clone().skip(first).step_by(step).collect();
                let wanted: Vec<_> = expected.iter().copied().skip(first).step_by(step).collect();
                assert_eq!(stepped, wanted, "{len} bytes, {first} and {step}");
            }
        }
    }
}
