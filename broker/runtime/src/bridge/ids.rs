//! The ids of requests and events: UUIDs, because plugins written for the original runtime expect them.
//!
//! Each id consists of a random number, drawn once for all ids of an [`Ids`], and a count. An id that a child sends is looked up by its
//! count; an id of another life or another child has another random number and is not accepted.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// The bits of the version in the upper half of a UUID, and the version of random ones.
const VERSION: u64 = 0xf << 12;
const RANDOM: u64 = 0x4 << 12;
/// The bits of the variant in the lower half of a UUID, and the usual variant.
const VARIANT: u64 = 0b11 << 62;
const USUAL: u64 = 0b10 << 62;

/// The ids of one life of a child, or of one runtime.
#[derive(Debug)]
pub(crate) struct Ids {
    /// The upper half of all these ids.
    drawn: u64,
    next: AtomicU64,
}

/// The text of an id.
pub(crate) struct IdText([u8; 36]);

impl Ids {
    pub(crate) fn new() -> Ids {
        // The keys of each `RandomState` are random and different.
        let random = RandomState::new().hash_one(0_u8);
        Ids {
            drawn: random & !VERSION | RANDOM,
            next: AtomicU64::new(0),
        }
    }

    /// Draws the next count.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) & !VARIANT
    }

    /// The id with this count.
    pub(crate) fn text(&self, count: u64) -> IdText {
        let mut text = [0; 36];
        let id = Uuid::from_u64_pair(self.drawn, count | USUAL);
        id.hyphenated().encode_lower(&mut text);
        IdText(text)
    }

    /// The next id.
    pub(crate) fn next_text(&self) -> IdText {
        self.text(self.next())
    }

    /// The count of an id; `None` if it is not one of these ids.
    pub(crate) fn count(&self, id: &str) -> Option<u64> {
        let (drawn, count) = Uuid::try_parse(id).ok()?.as_u64_pair();
        (drawn == self.drawn && count & VARIANT == USUAL).then_some(count & !VARIANT)
    }
}

impl IdText {
    pub(crate) fn as_str(&self) -> &str {
        // The bytes were written as ASCII, so this cannot fail.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid_and_names_its_count() {
        let (ids, others) = (Ids::new(), Ids::new());
        for expected in 0..1000 {
            let count = ids.next();
            let id = ids.text(count);
            let uuid = Uuid::try_parse(id.as_str()).unwrap();
            assert_eq!(uuid.get_version_num(), 4);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(ids.count(id.as_str()), Some(expected));
            assert_eq!(others.count(id.as_str()), None);
        }
    }

    #[test]
    fn what_is_no_id_of_ours_has_no_count() {
        let ids = Ids::new();
        let id = ids.next_text();
        for other in [
            "",
            "1",
            "00000000-0000-4000-8000-000000000000",
            &id.as_str()[1..],
        ] {
            assert_eq!(ids.count(other), None, "{other}");
        }
    }
}
