//! A payload's words, one after the other.

use super::PayloadView;

/// Words that are copied at once: half a kibibyte.
const CHUNK: usize = 64;

/// The words of a payload, from [`PayloadView::words`], or of private bytes.
///
/// They are copied out of shared memory a chunk at a time: a load of its own for each word, with
/// its place to be checked, takes several times as long.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    source: Source<'a>,
    /// Words that were not copied yet, and where the next of them lies.
    rest: usize,
    next: usize,
    /// Which words of `chunk` were copied and not given out yet.
    at: usize,
    end: usize,
    chunk: [[u8; 8]; CHUNK],
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Shared(&'a PayloadView<'a>),
    Private(&'a [u8]),
}

impl<'a> Words<'a> {
    pub(super) fn new(view: &'a PayloadView<'a>) -> Words<'a> {
        Words::of(Source::Shared(view), view.len())
    }

    /// The words of private bytes; the last one is filled up with zeros.
    pub fn of_bytes(bytes: &'a [u8]) -> Words<'a> {
        Words::of(Source::Private(bytes), bytes.len())
    }

    fn of(source: Source<'a>, len: usize) -> Words<'a> {
        Words {
            source,
            rest: len.div_ceil(8),
            next: 0,
            at: 0,
            end: 0,
            chunk: [[0; 8]; CHUNK],
        }
    }

    /// Copies the next chunk; false where there is none.
    fn refill(&mut self) -> bool {
        let count = self.rest.min(CHUNK);
        if count == 0 {
            return false;
        }
        let chunk = &mut self.chunk[..count];
        if let Some(last) = chunk.last_mut() {
            *last = [0; 8];
        }
        match self.source {
            Source::Shared(view) => view.copy_from(self.next, chunk.as_flattened_mut()),
            Source::Private(bytes) => {
                let bytes = &bytes[self.next * 8..];
                let len = bytes.len().min(count * 8);
                chunk.as_flattened_mut()[..len].copy_from_slice(&bytes[..len]);
            }
        }
        (self.next, self.rest) = (self.next + count, self.rest - count);
        (self.at, self.end) = (0, count);
        true
    }
}

impl Iterator for Words<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.at == self.end && !self.refill() {
            return None;
        }
        let word = self.chunk.get(self.at)?;
        self.at += 1;
        Some(u64::from_le_bytes(*word))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest + self.end - self.at;
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<u64> {
        let copied = n.min(self.end - self.at);
        self.at += copied;
        let skipped = (n - copied).min(self.rest);
        (self.next, self.rest) = (self.next + skipped, self.rest - skipped);
        self.next()
    }

    #[inline]
    fn fold<B, F: FnMut(B, u64) -> B>(mut self, start: B, mut step: F) -> B {
        let mut folded = start;
        loop {
            let words = self.chunk[self.at..self.end].iter();
            folded = words.fold(folded, |folded, word| {
                step(folded, u64::from_le_bytes(*word))
            });
            if !self.refill() {
                return folded;
            }
        }
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
