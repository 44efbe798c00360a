//! The gates and topics that a bridge keeps open: a limited number, of which the least recently used one is closed first.
//!
//! While a gate or topic is being opened, the calls or events for it are queued in order.

use std::collections::HashMap;
use std::mem;

/// Gates or topics that are open or being opened, by name; `W` is a call or event that waits for one.
pub(super) struct Cache<T, W> {
    entries: HashMap<Box<str>, Entry<T, W>>,
    most: usize,
    /// Counts uses; the time scale of `Entry::used`.
    clock: u64,
}

struct Entry<T, W> {
    stage: Stage<T, W>,
    /// The value of `clock` when the entry was last used.
    used: u64,
    /// The number of calls under way there. While there are any, the entry stays open.
    users: usize,
}

enum Stage<T, W> {
    Opening(Vec<W>),
    Open(T),
}

/// The stage of a name in the cache.
pub(super) enum Found<'a, T, W> {
    Open(&'a T),
    /// Being opened; the queue holds what waits for it, in order.
    Opening(&'a mut Vec<W>),
    Absent,
}

/// The cache is full of entries that are in use; hands back the value that was to wait.
#[derive(Debug)]
pub(super) struct Full<W>(pub(super) W);

impl<T, W> Cache<T, W> {
    pub(super) fn new(most: usize) -> Cache<T, W> {
        Cache {
            entries: HashMap::new(),
            most,
            clock: 0,
        }
    }

    /// Looks up an entry and marks it as just used.
    pub(super) fn find(&mut self, name: &str) -> Found<'_, T, W> {
        self.clock += 1;
        match self.entries.get_mut(name) {
            None => Found::Absent,
            Some(entry) => {
                entry.used = self.clock;
                match &mut entry.stage {
                    Stage::Open(open) => Found::Open(open),
                    Stage::Opening(waiting) => Found::Opening(waiting),
                }
            }
        }
    }

    /// Adds an entry that is about to be opened, with the first value that waits for it. Returns the entry that was closed to make room.
    pub(super) fn opening(&mut self, name: &str, first: W) -> Result<Option<T>, Full<W>> {
        let gone = match self.entries.len() >= self.most {
            false => None,
            true => match self.take_oldest() {
                Some(gone) => Some(gone),
                None => return Err(Full(first)),
            },
        };
        self.clock += 1;
        let entry = Entry {
            stage: Stage::Opening(vec![first]),
            used: self.clock,
            users: 0,
        };
        self.entries.insert(name.into(), entry);
        Ok(gone)
    }

    /// Removes the least recently used entry of those that are open and have no users.
    fn take_oldest(&mut self) -> Option<T> {
        let is_idle =
            |entry: &Entry<T, W>| entry.users == 0 && matches!(entry.stage, Stage::Open(_));
        let idle = self.entries.iter().filter(|(_, entry)| is_idle(entry));
        let oldest = idle.min_by_key(|(_, entry)| entry.used)?.0.clone();
        match self.entries.remove(&oldest)?.stage {
            Stage::Open(open) => Some(open),
            Stage::Opening(_) => None,
        }
    }

    /// Marks an entry as open. Returns the values that waited for it.
    pub(super) fn opened(&mut self, name: &str, open: T) -> Vec<W> {
        match self.entries.get_mut(name) {
            Some(entry) => match mem::replace(&mut entry.stage, Stage::Open(open)) {
                Stage::Opening(waiting) => waiting,
                Stage::Open(_) => Vec::new(),
            },
            None => Vec::new(),
        }
    }

    /// Removes an entry that could not be opened or has ended. Returns its value if it was open, or else the values that waited for it.
    pub(super) fn remove(&mut self, name: &str) -> (Option<T>, Vec<W>) {
        match self.entries.remove(name).map(|entry| entry.stage) {
            None => (None, Vec::new()),
            Some(Stage::Open(open)) => (Some(open), Vec::new()),
            Some(Stage::Opening(waiting)) => (None, waiting),
        }
    }

    /// The queues of all entries that are being opened, with the entries' names.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = (&str, &mut Vec<W>)> {
        self.entries
            .iter_mut()
            .filter_map(|(name, entry)| match &mut entry.stage {
                Stage::Opening(waiting) => Some((&**name, waiting)),
                Stage::Open(_) => None,
            })
    }

    /// Counts a user of the entry, which stays open until [`Cache::leave`].
    pub(super) fn enter(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.users += 1;
        }
    }

    pub(super) fn leave(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.users = entry.users.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(cache: &mut Cache<u32, char>, name: &str) -> bool {
        matches!(cache.find(name), Found::Open(_))
    }

    #[test]
    fn what_waits_is_given_back_in_order_when_it_is_open() {
        let mut cache = Cache::new(2);
        assert!(matches!(cache.find("a"), Found::Absent));
        assert_eq!(cache.opening("a", 'x').unwrap(), None);
        match cache.find("a") {
            Found::Opening(waiting) => waiting.extend(['y', 'z']),
            _ => panic!("it is being opened"),
        }
        assert_eq!(cache.opened("a", 1), ['x', 'y', 'z']);
        assert!(is_open(&mut cache, "a"));
        assert_eq!(cache.opening("b", 'w').unwrap(), None);
        assert_eq!(cache.remove("b"), (None, vec!['w']));
        assert_eq!(cache.remove("a"), (Some(1), Vec::new()));
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_goes_but_none_that_is_in_use() {
        let mut cache = Cache::new(3);
        for (name, open) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(cache.opening(name, ' ').unwrap(), None);
            cache.opened(name, open);
        }
        assert!(is_open(&mut cache, "a"));
        cache.enter("b");
        // `b` is the least recently used, but it is in use.
        assert_eq!(cache.opening("d", 'd').unwrap(), Some(3));
        assert_eq!(cache.opening("e", 'e').unwrap(), Some(1));
        // Entries that are being opened are never closed.
        let full = cache.opening("f", 'f').unwrap_err();
        assert_eq!(full.0, 'f');
        cache.leave("b");
        assert_eq!(cache.opening("f", 'f').unwrap(), Some(2));
    }
}
