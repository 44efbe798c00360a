//! How long a listening plugin may still delay a sending plugin.
//!
//! A listening plugin has one budget for all its feeds on all topics of the sending plugin: subscribing often, or
//! anew, does not let it delay the sender for longer.
//!
//! A budget is one second at first and at most, and grows by a tenth of the time that passes. So a listener that
//! stops taking events costs its sender one second, once, and one that always catches up at the last moment costs
//! it a tenth of its time. A budget that was used up counts as zero until it has grown to a millisecond: otherwise
//! a waiting sender would wait again and again for what has grown meanwhile.

/// The longest time that a listener delays a sender at once, in nanoseconds; also a full budget.
pub(crate) const MOST: u64 = 1_000_000_000;
/// A budget that was used up counts again once it is this large, in nanoseconds.
const ANEW: u64 = 1_000_000;
/// A budget grows by one part in so many of the time that passes.
const SHARE: u64 = 10;

/// The budget of one listening plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// What is left of it, in nanoseconds.
    left: u64,
    is_used_up: bool,
    /// The time up to which its growth has been added, in nanoseconds of the monotonic clock.
    grown: u64,
    /// The time up to which waits have been charged to it, in nanoseconds of the monotonic clock.
    spent: u64,
}

impl Budget {
    /// A full budget.
    pub(crate) fn new(now: u64) -> Budget {
        Budget {
            left: MOST,
            is_used_up: false,
            grown: now,
            spent: now,
        }
    }

    /// What is left now, in nanoseconds; 0 if it was used up and has not grown enough since.
    pub(crate) fn left(&mut self, now: u64) -> u64 {
        let grown = now.saturating_sub(self.grown) / SHARE;
        self.left = self.left.saturating_add(grown).min(MOST);
        // A remainder that is too short to make it grow is counted the next time.
        self.grown += grown * SHARE;
        self.is_used_up &= self.left < ANEW;
        match self.is_used_up {
            true => 0,
            false => self.left,
        }
    }

    /// Charges a wait: from `since`, when a thread of the sender began to wait, until `now` the listener was in the
    /// way. Several threads may wait at the same time, on one topic or several; each moment is charged once.
    pub(crate) fn spend(&mut self, since: u64, now: u64) {
        self.left(since);
        let from = self.spent.max(since);
        // It does not grow while it is charged: growth that was added in that time by other calls is taken off
        // again.
        let grown = self.grown.min(now).saturating_sub(from) / SHARE;
        let spent = now.saturating_sub(from);
        self.left = self.left.saturating_sub(spent.saturating_add(grown));
        self.is_used_up |= self.left == 0;
        self.spent = self.spent.max(now);
        self.grown = self.grown.max(now);
    }

    /// Whether it is full.
    pub(crate) fn is_whole(&mut self, now: u64) -> bool {
        self.left(now) == MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn who_stands_still_costs_a_second_once() {
        let mut budget = Budget::new(5);
        budget.spend(5, 5 + 400 * MS);
        assert_eq!(budget.left(5 + 400 * MS), 600 * MS);
        budget.spend(5 + 400 * MS, 5 + 1_500 * MS);
        assert_eq!(budget.left(5 + 1_500 * MS), 0);
    }

    /// A sender that waited for a listener without budget waited again and again for the little that had grown
    /// meanwhile.
    #[test]
    fn what_was_used_up_counts_again_when_there_is_enough() {
        let mut budget = Budget::new(0);
        budget.spend(0, 1_000 * MS);
        assert_eq!(budget.left(1_009 * MS), 0);
        assert_eq!(budget.left(1_010 * MS), MS);
        budget.spend(1_010 * MS, 1_010 * MS + MS / 2);
        assert_eq!(budget.left(1_011 * MS), MS / 2 + MS / 20);
    }

    #[test]
    fn it_grows_by_a_tenth_of_the_time_up_to_a_second() {
        let mut budget = Budget::new(0);
        budget.spend(0, 1_000 * MS);
        assert_eq!(budget.left(1_500 * MS), 50 * MS);
        // However often somebody looks.
        let mut often = Budget::new(0);
        often.spend(0, 1_000 * MS);
        for micros in 0..=500_000 {
            often.left(1_000 * MS + micros * 1_000 + 7);
        }
        assert!(often.left(1_500 * MS + 7) >= 50 * MS - 1, "{often:?}");
        assert_eq!(budget.left(60_000 * MS), MOST);
    }

    /// Three threads that waited for one listener at the same time took three times as much from its budget.
    #[test]
    fn what_several_threads_wait_is_counted_once() {
        let mut budget = Budget::new(0);
        budget.spend(0, 100 * MS);
        budget.spend(50 * MS, 120 * MS);
        budget.spend(110 * MS, 119 * MS);
        assert_eq!(budget.left(120 * MS), 880 * MS);
    }

    /// Another topic of the sender goes on meanwhile, and looks at the budget for each piece of its ring.
    #[test]
    fn what_others_look_at_is_spent_all_the_same() {
        let (mut budget, mut now) = (Budget::new(0), 0);
        while budget.left(now) > 0 {
            let since = now;
            for _ in 0..100 {
                now += MS / 100;
                budget.left(now);
            }
            budget.spend(since, now);
            assert!(now <= 1_001 * MS, "{now}");
        }
        assert!(now >= 999 * MS, "{now}");
    }

    /// A listener that caught up just before its budget was used up delayed its source all the time.
    #[test]
    fn who_always_catches_up_late_costs_a_tenth_of_the_time() {
        let (mut budget, mut now, mut waited) = (Budget::new(0), 0, 0);
        while now < 100_000 * MS {
            let left = budget.left(now);
            let wait = left.min(20 * MS);
            budget.spend(now, now + wait);
            now += wait;
            waited += wait;
            // One event later, the listener is in the way again.
            now += MS;
        }
        assert!(waited < 12_000 * MS, "{waited}");
    }

    /// Clocks of two threads need not agree to the nanosecond.
    #[test]
    fn time_that_goes_back_does_no_harm() {
        let mut budget = Budget::new(1_000 * MS);
        budget.spend(900 * MS, 950 * MS);
        assert_eq!(budget.left(900 * MS), MOST);
        budget.spend(1_100 * MS, 1_050 * MS);
        assert_eq!(budget.left(1_100 * MS), MOST);
    }
}
