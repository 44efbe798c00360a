//! Gates and topics that a bridge keeps open: as many as it may, those that were used last.
//!
//! While one is being opened, what is to go there waits in order.

use std::collections::HashMap;
use std::mem;

/// What is open or being opened, by name; `W` is what waits for that.
pub(super) struct Cache<T, W> {
    entries: HashMap<Box<str>, Entry<T, W>>,
    most: usize,
    /// Counts uses.
    clock: u64,
}

struct Entry<T, W> {
    stage: Stage<T, W>,
    /// When it was used last.
    used: u64,
    /// What is under way there, because of which it stays.
    users: usize,
}

enum Stage<T, W> {
    Opening(Vec<W>),
    Open(T),
}

/// How something stands in the cache.
pub(super) enum Found<'a, T, W> {
    Open(&'a T),
    /// It is being opened; this waits for it, in order.
    Opening(&'a mut Vec<W>),
    Absent,
}

/// Everything is in use.
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

    /// Looks something up that is used now.
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

    /// Notes that something absent is about to be opened, and what waits for that. Gives back what had to go for it.
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

    /// The one that was not used for longest, of those that are open and of which nothing is under way.
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

    /// It was opened. Gives back what has waited for it.
    pub(super) fn opened(&mut self, name: &str, open: T) -> Vec<W> {
        match self.entries.get_mut(name) {
            Some(entry) => match mem::replace(&mut entry.stage, Stage::Open(open)) {
                Stage::Opening(waiting) => waiting,
                Stage::Open(_) => Vec::new(),
            },
            None => Vec::new(),
        }
    }

    /// It cannot be opened, or is of no use any more. Gives back what has waited for it, or what it was.
    pub(super) fn remove(&mut self, name: &str) -> (Option<T>, Vec<W>) {
        match self.entries.remove(name).map(|entry| entry.stage) {
            None => (None, Vec::new()),
            Some(Stage::Open(open)) => (Some(open), Vec::new()),
            Some(Stage::Opening(waiting)) => (None, waiting),
        }
    }

    /// All that waits, by what it waits for.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = (&str, &mut Vec<W>)> {
        self.entries
            .iter_mut()
            .filter_map(|(name, entry)| match &mut entry.stage {
                Stage::Opening(waiting) => Some((&**name, waiting)),
                Stage::Open(_) => None,
            })
    }

    /// Something goes there, and comes back by [`Cache::leave`].
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
        // `b` was not used for longest, and is in use.
        assert_eq!(cache.opening("d", 'd').unwrap(), Some(3));
        assert_eq!(cache.opening("e", 'e').unwrap(), Some(1));
        // What is being opened stays.
        let full = cache.opening("f", 'f').unwrap_err();
        assert_eq!(full.0, 'f');
        cache.leave("b");
        assert_eq!(cache.opening("f", 'f').unwrap(), Some(2));
    }
}
