//! Waits until a folder is quiet: saving a file or building a program makes several changes. This module reads no
//! clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A folder is reported once nothing in it has changed for this long.
const QUIET: Duration = Duration::from_millis(200);
/// A folder that is never quiet is reported this long after its first change.
const LATEST: Duration = Duration::from_secs(2);

/// Folders that have changed and were not reported yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: BTreeMap<PathBuf, Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    first: Instant,
    last: Instant,
}

impl Change {
    /// The time at which it is reported.
    fn at(self) -> Instant {
        (self.last + QUIET).min(self.first + LATEST)
    }
}

impl Pending {
    /// Records that something has changed in a folder.
    pub(super) fn note(&mut self, folder: PathBuf, now: Instant) {
        let change = self.changes.entry(folder).or_insert(Change {
            first: now,
            last: now,
        });
        change.last = now;
    }

    /// The time at which the next folder is reported.
    pub(super) fn next(&self) -> Option<Instant> {
        self.changes.values().map(|change| change.at()).min()
    }

    /// Takes the folders that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self.changes.extract_if(.., |_, change| change.at() <= now);
        due.map(|(folder, _)| folder).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// A folder is reported once, when it is quiet: a build that writes a hundred files restarts its plugin once.
    #[test]
    fn a_folder_is_told_once_when_it_is_quiet() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        assert_eq!(pending.next(), None);
        pending.note("b".into(), start);
        assert_eq!(pending.next(), Some(start + QUIET));
        assert!(pending.due(start + ms(199)).is_empty());
        assert_eq!(pending.due(start + ms(200)), [PathBuf::from("b")]);
        for n in 0..5 {
            pending.note("a".into(), start + ms(100 * n));
            assert!(pending.due(start + ms(100 * n)).is_empty());
        }
        assert_eq!(pending.next(), Some(start + ms(600)));
        assert_eq!(pending.due(start + ms(600)), [PathBuf::from("a")]);
        assert_eq!(pending.next(), None);
        assert!(pending.due(start + ms(9_999)).is_empty());
    }

    #[test]
    fn one_that_is_never_quiet_is_told_in_the_end() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let mut told = Vec::new();
        for n in 0..50 {
            let now = start + ms(100 * n);
            pending.note("a".into(), now);
            told.extend(pending.due(now).iter().map(|_| 100 * n));
        }
        assert_eq!(told, [2000, 4100]);
    }
}
