//! The times at which plugins are due although no event arrives.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::Name;

/// At most one time for each plugin.
#[derive(Debug, Default)]
pub(super) struct Timers {
    in_order: BTreeSet<(Instant, Name)>,
    of: HashMap<Name, Instant>,
}

impl Timers {
    /// Sets the time of a plugin, or removes it.
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

    /// Removes and returns a plugin whose time has come.
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

    /// A plugin whose time was moved came due at the old time as well.
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
