//! When a plugin whose broker has ended tries to connect again.
//!
//! Pure: the caller passes the time and the random numbers in.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long after the loss a restarted broker is expected at any moment.
const SOON: Duration = Duration::from_secs(60);
/// The waits before attempts in that time, in nanoseconds. The range is wide because all plugins of a bus lose the
/// broker at the same moment and should not come back at the same moment.
const QUICK: RangeInclusive<u64> = 20_000_000..=250_000_000;
/// The later waits: somebody has stopped the broker, and may start it again some time. They differ too, so that
/// plugins which a suspended machine has put into step get out of step.
const SLOW: RangeInclusive<u64> = 1_800_000_000..=2_000_000_000;

/// The attempts after the loss of a broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    lost: Instant,
}

impl Retry {
    /// The attempts after a loss at this time.
    pub(crate) fn since(lost: Instant) -> Retry {
        Retry { lost }
    }

    /// How long to wait before the next attempt. All values of `random` have to be equally likely.
    pub(crate) fn wait(&self, now: Instant, random: u64) -> Duration {
        match now.saturating_duration_since(self.lost) < SOON {
            true => within(QUICK, random),
            false => Retry::slow(random),
        }
    }

    /// How long to wait after an attempt which showed that the next will fail as well, unless somebody else changes
    /// something.
    pub(crate) fn slow(random: u64) -> Duration {
        within(SLOW, random)
    }
}

/// A random number.
pub(crate) fn random() -> u64 {
    // Each `RandomState` has random keys of its own.
    RandomState::new().hash_one(0)
}

/// Maps a random number to a wait in a range of nanoseconds.
fn within(range: RangeInclusive<u64>, random: u64) -> Duration {
    let (start, end) = range.into_inner();
    let count = u128::from(end - start) + 1;
    // Less than `count`, so it fits.
    let part = (u128::from(random) * count) >> 64;
    Duration::from_nanos(start.saturating_add(u64::try_from(part).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const PLUGINS: u64 = 300;

    fn milliseconds(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Evenly distributed numbers from a seed (splitmix64).
    fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut n = seed;
            n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            n ^ (n >> 31)
        }
    }

    #[test]
    fn all_of_a_range_is_used_and_no_more() {
        let lost = Instant::now();
        let retry = Retry::since(lost);
        assert_eq!(retry.wait(lost, 0), milliseconds(20));
        assert_eq!(retry.wait(lost, u64::MAX), milliseconds(250));
        assert_eq!(retry.wait(lost + SOON, 0), milliseconds(1_800));
        assert_eq!(retry.wait(lost + SOON, u64::MAX), milliseconds(2_000));
    }

    proptest! {
        #[test]
        fn waits_are_never_shorter_or_longer(random: u64, after in 0..300_000_u64) {
            let lost = Instant::now();
            let wait = Retry::since(lost).wait(lost + milliseconds(after), random);
            let bounds = match after < 60_000 {
                true => milliseconds(20)..=milliseconds(250),
                false => milliseconds(1_800)..=milliseconds(2_000),
            };
            prop_assert!(bounds.contains(&wait), "{wait:?} after {after} ms");
            // A clock that stands does no harm, nor one that goes back.
            let early = Retry::since(lost + SOON).wait(lost, random);
            prop_assert!(early <= milliseconds(250));
        }

        /// All of them lose the broker in one moment. Evenly, 13 would come in 10 ms at first, and later,
        /// at 135 ms a wait, 22.
        #[test]
        fn three_hundred_plugins_do_not_come_in_one_moment(seed: u64) {
            let (lost, mut next) = (Instant::now(), numbers(seed));
            let retry = Retry::since(lost);
            let mut attempts = HashMap::<u128, u32>::new();
            for _ in 0..PLUGINS {
                let mut now = lost;
                while now < lost + Duration::from_secs(3) {
                    now += retry.wait(now, next());
                    *attempts.entry((now - lost).as_millis() / 10).or_default() += 1;
                }
            }
            let most = attempts.values().max().copied().unwrap_or(0);
            prop_assert!((1..75).contains(&most), "{most} attempts in 10 ms");
        }
    }
}
