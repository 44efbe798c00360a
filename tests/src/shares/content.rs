//! Contents that state their tag, their number, and a checksum of the rest.

use callgate_client::gate_type;

/// Contents that are shared as a value.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The tag under which it is shared.
    pub tag: String,
    /// Its number.
    pub number: u64,
    /// Words that are computed from the number.
    pub words: Vec<u64>,
    /// The sum of tag, number and words.
    pub sum: u64,
}

/// Words of a slice before those that are computed from its number: the sum of the tag, the number, and the sum of
/// all.
const HEAD: usize = 3;

impl Content {
    /// Contents with so many bytes of words.
    #[must_use]
    pub fn new(tag: &str, number: u64, len: usize) -> Content {
        let words: Vec<u64> = (0..len as u64 / 8).map(|at| word(number, at)).collect();
        Content {
            tag: tag.to_owned(),
            number,
            sum: sum(tag, number, words.iter().copied()),
            words,
        }
    }
}

impl ArchivedContent {
    /// Checks the contents and returns their number.
    ///
    /// # Panics
    ///
    /// If a byte of them is wrong.
    pub fn check(&self, tag: &str) -> u64 {
        let number = self.number.to_native();
        assert_eq!(self.tag.as_str(), tag, "the tag of number {number}");
        let words = self.words.iter().map(|word| word.to_native());
        let found = sum(tag, number, words);
        assert_eq!(
            found,
            self.sum.to_native(),
            "{tag}: number {number} is torn"
        );
        number
    }
}

/// Fills a slice whose first three words state what the others are.
///
/// # Panics
///
/// If it is shorter than three words.
pub fn fill_words(tag: &str, number: u64, slice: &mut [u64]) {
    let (head, rest) = slice.split_at_mut(HEAD);
    for (at, slot) in (0..).zip(rest.iter_mut()) {
        *slot = word(number, at);
    }
    head.copy_from_slice(&[name(tag), number, sum(tag, number, rest.iter().copied())]);
}

/// Checks a slice that was filled this way, and returns its number.
///
/// # Panics
///
/// If a word of it is wrong.
pub fn check_words(tag: &str, slice: &[u64]) -> u64 {
    let (head, rest) = slice.split_at(HEAD);
    let number = head[1];
    assert_eq!(head[0], name(tag), "{tag}: the tag of number {number}");
    let found = sum(tag, number, rest.iter().copied());
    assert_eq!(found, head[2], "{tag}: number {number} is torn");
    number
}

fn word(number: u64, at: u64) -> u64 {
    (number ^ at.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn name(tag: &str) -> u64 {
    tag.bytes().fold(1, |name, byte| mix(name, u64::from(byte)))
}

fn sum(tag: &str, number: u64, words: impl Iterator<Item = u64>) -> u64 {
    words.fold(mix(name(tag), number), mix)
}

fn mix(sum: u64, word: u64) -> u64 {
    (sum ^ word)
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        .rotate_left(29)
}
