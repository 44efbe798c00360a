//! What is sent and what must come back. Every answer is computed from the request's words, and
//! every caller checks every answer, so that a system that loses or mixes up calls fails.

use crate::Result;

/// A payload of 64 bytes; every answer is one.
pub(crate) type Small = [u64; 8];

/// Words of a payload of 1 MiB.
pub(crate) const LARGE_WORDS: usize = (1 << 20) / 8;

/// The words of a large payload that are written and read: its first, one between and its last.
pub(crate) const SAMPLE: [usize; 3] = [0, LARGE_WORDS / 2, LARGE_WORDS - 1];

/// The number of the call after whose answer the callee rests until the next block.
pub(crate) const STOP: u64 = u64::MAX;

/// The arguments of call `number`.
#[inline]
pub(crate) fn request(number: u64) -> Small {
    std::array::from_fn(|at| number.wrapping_add(at as u64))
}

/// The callee's answer to a request: the sum of its words, and each further word plus one.
#[inline]
pub(crate) fn answer(request: Small) -> Small {
    let sum = request
        .iter()
        .fold(0, |sum: u64, word| sum.wrapping_add(*word));
    let mut answer = request.map(|word| word.wrapping_add(1));
    answer[0] = sum;
    answer
}

/// Whether the callee may rest after this request.
#[inline]
pub(crate) fn is_stop(request: &Small) -> bool {
    request[0] == STOP
}

/// Fails unless `reply` is the answer to call `number`.
#[inline]
pub(crate) fn check(number: u64, reply: Small) -> Result<()> {
    if reply == answer(request(number)) {
        return Ok(());
    }
    Err(format!("a wrong answer to call {number}: {reply:?}").into())
}

/// What is done with a large payload, whatever its words lie in.
pub(crate) mod large {
    use super::{SAMPLE, Small};
    use crate::Result;

    /// Writes the words of call `number` that are looked at.
    #[inline]
    pub(crate) fn write(number: u64, mut put: impl FnMut(usize, u64)) {
        for (nth, at) in SAMPLE.into_iter().enumerate() {
            put(at, number.wrapping_add(nth as u64));
        }
    }

    /// The words that are looked at, as a small request.
    #[inline]
    pub(crate) fn read(get: impl Fn(usize) -> u64) -> Small {
        let mut words = [0; 8];
        for (word, at) in words.iter_mut().zip(SAMPLE) {
            *word = get(at);
        }
        words
    }

    /// Fails unless `reply` is the answer to call `number`.
    #[inline]
    pub(crate) fn check(number: u64, reply: Small) -> Result<()> {
        let mut words = [0; 8];
        for (nth, word) in words[..SAMPLE.len()].iter_mut().enumerate() {
            *word = number.wrapping_add(nth as u64);
        }
        if reply == super::answer(words) {
            return Ok(());
        }
        Err(format!("a wrong answer to call {number}: {reply:?}").into())
    }
}
