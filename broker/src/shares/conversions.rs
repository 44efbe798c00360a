//! Limits how often the maker of a version is asked to write it as JSON (as a twin).
//!
//! A twin is let go with its last holder, and the next plugin that wants it has the maker write it again. A plugin that did this in a loop
//! could take all of the maker's processor time, at the price of one request each. Therefore the maker rests after each conversion, four
//! times as long as the conversion took, and plugins that ask meanwhile wait. A plugin that asks for this version for the first time does
//! not wait: other plugins have caused the rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The maker rests so many times as long as the conversion took.
const REST: u32 = 4;
/// The longest rest: as long as a conversion itself may take.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// So many plugins may ask for the first time without waiting for the end of a rest. Plugins are told apart by name, because a plugin that
/// comes back has its name again.
const MOST_FIRST: usize = 64;

/// The state of conversions of one version: which plugins have asked, and until when the maker rests.
#[derive(Debug, Default)]
pub(crate) struct Conversions {
    asked: BTreeSet<String>,
    rests_until: Option<Instant>,
}

impl Conversions {
    /// Notes that the plugin of this name asks. Returns the end of the maker's rest if the plugin has to wait for it.
    pub(crate) fn rest_for(&mut self, plugin: &str, now: Instant) -> Option<Instant> {
        let is_first = self.asked.len() < MOST_FIRST && self.asked.insert(plugin.into());
        self.rests_until.filter(|until| !is_first && *until > now)
    }

    /// Notes that a conversion has ended, successfully or not; the maker's rest begins.
    pub(crate) fn ended(&mut self, since: Instant, now: Instant) {
        let taken = now.saturating_duration_since(since);
        let rest = taken.saturating_mul(REST).min(LONGEST_REST);
        self.rests_until = Some(now + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plugin that comes back under one new name after the other must not get around the rest.
    #[test]
    fn few_plugins_do_not_wait() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut conversions = Conversions::default();
        assert_eq!(conversions.rest_for("a", start), None);
        conversions.ended(start, start + second);
        let rested = Some(start + second * 5);
        assert_eq!(conversions.rest_for("a", start + second), rested);
        let waits: Vec<bool> = (0..100)
            .map(|n| {
                conversions
                    .rest_for(&format!("b{n}"), start + second)
                    .is_some()
            })
            .collect();
        assert_eq!(waits.iter().filter(|waits| **waits).count(), 100 - 63);
        assert!(!waits[0] && waits[99]);
        assert_eq!(conversions.rest_for("a", start + second * 5), None);
        conversions.ended(start, start + second * 1000);
        let rested = Some(start + second * 1030);
        assert_eq!(conversions.rest_for("a", start + second * 1000), rested);
    }
}
