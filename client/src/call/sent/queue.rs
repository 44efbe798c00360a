//! Calls that wait, in the order in which they were sent.

use std::collections::VecDeque;

/// From so many places on, places of calls that were taken out are given back when they are more than half of all.
const FEW: usize = 32;

/// Values by number. The number of a new one is nearly always the greatest, and the next to be taken the smallest;
/// any other can be taken out as well. Its place stays empty for a while then, because moving all the others up would make
/// dropping many calls slow.
#[derive(Debug)]
pub(super) struct Queue<T> {
    places: VecDeque<(u64, Option<T>)>,
    /// How many places are not empty. The first and the last one never are.
    count: usize,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Queue<T> {
        Queue {
            places: VecDeque::new(),
            count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a value. Its number has not been in the queue before, or was the first one when it was taken.
    pub(super) fn insert(&mut self, number: u64, value: T) {
        let is_last = self.places.back().is_none_or(|(last, _)| *last < number);
        match is_last {
            true => self.places.push_back((number, Some(value))),
            false => {
                let place = self.places.partition_point(|(other, _)| *other < number);
                self.places.insert(place, (number, Some(value)));
            }
        }
        self.count += 1;
        self.trim();
    }

    /// Takes the value with the smallest number.
    pub(super) fn pop_first(&mut self) -> Option<(u64, T)> {
        let (number, value) = self.places.pop_front()?;
        self.count -= 1;
        self.trim();
        value.map(|value| (number, value))
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.places[self.place(number)?].1.as_ref()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.place(number)?;
        let value = self.places[place].1.take()?;
        self.count -= 1;
        self.trim();
        Some(value)
    }

    /// All values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let places = self.places.iter();
        places.filter_map(|(number, value)| Some((*number, value.as_ref()?)))
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = self
            .places
            .binary_search_by_key(&number, |(other, _)| *other);
        place.ok()
    }

    /// Gives back empty places: those at both ends, and all if they are too many.
    fn trim(&mut self) {
        while self
            .places
            .front()
            .is_some_and(|(_, value)| value.is_none())
        {
            self.places.pop_front();
        }
        while self.places.back().is_some_and(|(_, value)| value.is_none()) {
            self.places.pop_back();
        }
        if self.places.len() > FEW.max(2 * self.count) {
            self.places.retain(|(_, value)| value.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It does what a sorted map does.
        #[test]
        fn it_keeps_what_was_put_in(steps in prop::collection::vec((0..5_u8, any::<prop::sample::Index>()), 0..300)) {
            let (mut queue, mut map, mut late, mut last) = (Queue::new(), BTreeMap::new(), BTreeSet::new(), 0);
            for (step, which) in steps {
                let known: Vec<u64> = map.keys().copied().collect();
                match step {
                    0 | 1 => {
                        last += 10;
                        queue.insert(last, last);
                        map.insert(last, last);
                    }
                    2 => {
                        let first = queue.pop_first();
                        prop_assert_eq!(first, map.pop_first());
                        // It waits on in its place, as a call does for which there is no slot.
                        if let Some((number, value)) = first && which.index(2) == 0 {
                            queue.insert(number, value);
                            map.insert(number, value);
                        }
                    }
                    3 if !known.is_empty() => {
                        let number = known[which.index(known.len())];
                        prop_assert_eq!(queue.get(number), map.get(&number));
                        prop_assert_eq!(queue.remove(number), map.remove(&number));
                        prop_assert_eq!(queue.remove(number), None);
                    }
                    // One that comes late, between others; each number once.
                    4 if !known.is_empty() => {
                        let number = known[which.index(known.len())] - 1;
                        if late.insert(number) {
                            queue.insert(number, number);
                            map.insert(number, number);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (map.len(), map.is_empty()));
                prop_assert!(queue.iter().eq(map.iter().map(|(number, value)| (*number, value))));
                prop_assert!(queue.places.len() <= FEW.max(2 * queue.len()));
            }
        }
    }
}
