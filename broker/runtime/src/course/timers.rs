//! When which plugin is to be looked at although nothing happens.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::Name;

/// One time a plugin, the next one.
#[derive(Debug, Default)]
pub(super) struct Timers {
    in_order: BTreeSet<(Instant, Name)>,
    of: HashMap<Name, Instant>,
}

impl Timers {
    /// Puts another time, or none, in the place of the one that a plugin has.
    pub(super) fn set(&mut self, name: &Name, at: Option<Instant>) {
        if self.of.get(name).copied() == at {
            return;
        }
        if let Some(before) = self.of.remove(name) {
            self.in_order.remove(&(before, name.clone()));
        }
        if let Some(at) = at {
            self.of.insert(name.clone(), at);
            self.in_order.insert((at, name.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// Takes out a plugin whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Name> {
        let (at, name) = self.in_order.first().filter(|(at, _)| *at <= now)?.clone();
        self.in_order.remove(&(at, name.clone()));
        self.of.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A time that was moved was due at the old one, too.
    #[test]
    fn a_plugin_has_one_time() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let (a, b): (Name, Name) = ("a".into(), "b".into());
        let at = |seconds| now + Duration::from_secs(seconds);
        timers.set(&a, Some(at(1)));
        timers.set(&b, Some(at(2)));
        timers.set(&a, Some(at(3)));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.due(at(1)), None);
        assert_eq!(timers.due(at(9)), Some(b));
        assert_eq!(timers.due(at(9)), Some(a.clone()));
        assert_eq!(timers.due(at(9)), None);
        timers.set(&a, Some(at(1)));
        timers.set(&a, None);
        assert_eq!(timers.next(), None);
    }
}
