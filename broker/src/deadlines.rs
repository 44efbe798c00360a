//! Deadlines, each with a key; the earliest one comes first.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// At most one deadline for each key.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: HashMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Deadlines<K> {
    pub(crate) fn new() -> Deadlines<K> {
        Deadlines {
            by_time: BTreeSet::new(),
            by_key: HashMap::new(),
        }
    }

    /// Sets, moves or (with `None`) clears the deadline of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one key whose deadline has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A deadline that was moved or cleared must not pass at its old time.
    #[test]
    fn only_the_last_deadline_of_a_key_counts() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some(at(10)));
        deadlines.set('b', Some(at(20)));
        deadlines.set('c', Some(at(5)));
        deadlines.set('a', Some(at(30)));
        deadlines.set('c', None);
        assert_eq!(deadlines.next(), Some(at(20)));
        assert_eq!(deadlines.pop(at(19)), None);
        assert_eq!(deadlines.pop(at(20)), Some('b'), "at its very time");
        assert_eq!(deadlines.pop(at(40)), Some('a'));
        assert_eq!(deadlines.pop(at(40)), None);
        assert_eq!(deadlines.next(), None);
    }
}
