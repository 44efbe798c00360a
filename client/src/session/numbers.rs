//! Numbers for requests, open gates and memberships.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts through all 32-bit numbers, again and again, and skips those that are in use: a gate may stay open while
/// 2^32 requests are made.
#[derive(Debug)]
pub(crate) struct Numbers {
    next: AtomicU32,
}

impl Numbers {
    pub(crate) fn new() -> Numbers {
        Numbers {
            next: AtomicU32::new(1),
        }
    }

    /// Inserts a value under the next number that is not in the map.
    pub(crate) fn insert<T>(&self, map: &mut HashMap<u32, T>, value: T) -> u32 {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if let Entry::Vacant(place) = map.entry(number) {
                place.insert(value);
                return number;
            }
        }
    }

    /// The next number that is not in the map.
    pub(crate) fn unused<T>(&self, map: &HashMap<u32, T>) -> u32 {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if !map.contains_key(&number) {
                return number;
            }
        }
    }
}

/// Names a membership within this process. A broker that has ended a plugin's session may accept it again, so two
/// memberships may be on one bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MembershipId(u64);

impl MembershipId {
    pub(super) fn next() -> MembershipId {
        static LAST: AtomicU64 = AtomicU64::new(0);
        MembershipId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number, for code that does not know memberships.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// An id with this number, for tests.
    #[cfg(test)]
    pub(crate) fn of(number: u64) -> MembershipId {
        MembershipId(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate that had been open since before the numbers wrapped around lost its number to another one, and the
    /// broker ended the session.
    #[test]
    fn numbers_in_use_are_passed_over() {
        let numbers = Numbers {
            next: AtomicU32::new(u32::MAX - 1),
        };
        let mut map = HashMap::from([(u32::MAX, 'a'), (0, 'b'), (2, 'c')]);
        let new = ['d', 'e', 'f'].map(|value| numbers.insert(&mut map, value));
        assert_eq!(new, [u32::MAX - 1, 1, 3]);
        assert_eq!((map[&u32::MAX], map[&0], map[&2]), ('a', 'b', 'c'));
        numbers.next.store(0, Ordering::Relaxed);
        assert_eq!(numbers.unused(&map), 4);
    }
}
