//! The budget of the loop's time that one child may use with output that nobody asked for.
//!
//! The budget refills with a fixed share of the time that passes. If it is used up, the child's streams are not read until a piece of it
//! has come back: the child's pipes fill, it blocks in its next write, and its core is free for others. Pure: the caller passes the time
//! in.

use std::time::{Duration, Instant};

use super::settings::Limits;

/// How much of the budget must have come back before the child is read again. With less the next lines would use it up at once; and the
/// kernel's timers are precise enough for pauses of some milliseconds.
const PIECE: Duration = Duration::from_millis(1);

/// The budget of one life.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    burst: Duration,
    /// The share of the passing time, in percent; with 100 and more the budget has no limit.
    percent: u32,
    /// The time at which the budget is full again; in the past if it is full.
    full_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Pace {
        Pace {
            burst: limits.unasked_burst,
            percent: limits.unasked_percent.max(1),
            full_at: None,
        }
    }

    /// Takes time out of the budget. If that uses it up, returns the time until which the child must not be read.
    pub(super) fn charge(&mut self, time: Duration, now: Instant) -> Option<Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        // An overflow means a time so far in the future that it never comes; then the old time stays.
        let full_at = full_at.checked_add(self.to_earn(time)).unwrap_or(full_at);
        self.full_at = Some(full_at);
        let over = self.missing(now).checked_sub(self.to_earn(self.burst))?;
        let pause = over.saturating_add(self.to_earn(PIECE.min(self.burst)));
        let is_bounded = self.percent < 100 && !over.is_zero();
        now.checked_add(pause).filter(|_| is_bounded)
    }

    /// Whether so much of the budget is used up that measuring exactly is worth its cost.
    pub(super) fn is_low(&self, now: Instant) -> bool {
        self.missing(now) > self.to_earn(self.burst) / 2
    }

    /// The most that one inexact measurement, which may be too high, may charge: it alone never uses up the budget.
    pub(super) fn most_at_once(&self) -> Duration {
        self.burst / 2
    }

    /// How long it takes until the budget is full.
    fn missing(&self, now: Instant) -> Duration {
        let full_at = self.full_at.unwrap_or(now);
        full_at.saturating_duration_since(now)
    }

    /// How long it takes to refill this much of the budget.
    fn to_earn(&self, time: Duration) -> Duration {
        time.saturating_mul(100) / self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;

    fn pace(percent: u32, burst: Duration) -> Pace {
        let mut limits = Limits::default();
        (limits.unasked_percent, limits.unasked_burst) = (percent, burst);
        Pace::new(&limits)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_is_not_held_up_and_comes_back_with_time() {
        let (mut pace, now) = (pace(10, 50 * MS), Instant::now());
        for _ in 0..50 {
            assert_eq!(pace.charge(MS, now), None);
        }
        assert!(pace.is_low(now));
        // The whole budget is back after ten times as long.
        let later = now + 500 * MS;
        assert!(!pace.is_low(later));
        for _ in 0..50 {
            assert_eq!(pace.charge(MS, later), None);
        }
        // A longer time does not make the budget larger than the burst.
        let much_later = later + 1_000_000 * MS;
        assert_eq!(pace.charge(50 * MS, much_later), None);
        assert!(pace.charge(MS, much_later).is_some());
    }

    #[test]
    fn what_is_beyond_the_burst_is_waited_for_with_a_piece_to_go_on() {
        let (mut pace, now) = (pace(10, 50 * MS), Instant::now());
        assert_eq!(pace.charge(53 * MS, now), Some(now + 30 * MS + 10 * PIECE));
        let again = now + 30 * MS + 10 * PIECE;
        assert_eq!(pace.charge(PIECE, again), None);
        assert_eq!(pace.charge(MS, again), Some(again + 10 * MS + 10 * PIECE));
    }

    #[test]
    fn a_budget_without_end_has_none_and_a_small_one_goes_on_in_small_pieces() {
        let now = Instant::now();
        assert_eq!(pace(100, MS).charge(1_000_000 * MS, now), None);
        assert_eq!(pace(0, MS).charge(MS, now), None);
        let mut small = pace(50, MS / 2);
        assert_eq!(small.charge(MS, now), Some(now + MS + MS));
        let never = small.charge(Duration::MAX, now);
        assert!(never.is_none_or(|until| until > now), "{never:?}");
    }

    proptest! {
        /// A child that is read whenever the budget allows never takes more, in any stretch of time, than the burst, the share of that
        /// time, and the one read that was under way.
        #[test]
        fn no_more_than_the_share_is_taken_of_any_time(
            percent in 1u32..100,
            burst in 1u64..60_000,
            steps in vec((1u64..3_000, 0u64..3_000), 1..200),
        ) {
            let mut pace = pace(percent, Duration::from_micros(burst));
            let begun = Instant::now();
            let (mut now, mut spent) = (begun, Duration::ZERO);
            for (cost, idle) in steps {
                let cost = Duration::from_micros(cost);
                now += cost + Duration::from_micros(idle);
                spent += cost;
                let allowed = (now - begun) * percent / 100 + Duration::from_micros(burst) + cost + MS / 1000;
                prop_assert!(spent <= allowed, "{spent:?} of {:?}", now - begun);
                if let Some(until) = pace.charge(cost, now) {
                    prop_assert!(until > now);
                    now = until;
                }
            }
        }

        /// A child that stays below its share is never paused, however the measurements are spread.
        #[test]
        fn who_stays_below_the_share_is_never_held_up(
            percent in 1u32..=100,
            costs in vec(0u64..1_000, 1..200),
        ) {
            let mut pace = pace(percent, MS);
            let mut now = Instant::now();
            for cost in costs {
                let cost = Duration::from_micros(cost);
                prop_assert_eq!(pace.charge(cost, now), None);
                now += cost * 100 / percent + Duration::from_nanos(1);
            }
        }
    }
}
