//! How often a version is written as JSON.
//!
//! A twin is let go with its last holder, and whoever wants it after that has the maker write it again. Who does that in a loop would have
//! all of the maker's processor, at one request each. So the maker rests after each run, four times as long as that has taken; who asks
//! meanwhile waits. Only who has not asked for this version before does not: others have had the maker write it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// So many times as long as a conversion has taken the maker rests.
const REST: u32 = 4;
/// Not longer than a conversion itself may take.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// So many plugins do not wait for the end of a rest. They are known by their names, which a plugin that comes back has again.
const MOST_FIRST: usize = 64;

/// What was written of one version.
#[derive(Debug, Default)]
pub(crate) struct Conversions {
    asked: BTreeSet<String>,
    rests_until: Option<Instant>,
}

impl Conversions {
    /// A plugin of this name asks: until when it has to wait, if it has to.
    pub(crate) fn rest_for(&mut self, plugin: &str, now: Instant) -> Option<Instant> {
        let is_first = self.asked.len() < MOST_FIRST && self.asked.insert(plugin.into());
        self.rests_until.filter(|until| !is_first && *until > now)
    }

    /// The maker has been at it from then until now, whatever came of it.
    pub(crate) fn ended(&mut self, since: Instant, now: Instant) {
        let taken = now.saturating_duration_since(since);
        let rest = taken.saturating_mul(REST).min(LONGEST_REST);
        self.rests_until = Some(now + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever comes under one new name after the other would never wait.
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
