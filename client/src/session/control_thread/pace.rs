//! Limits how much of its time the control thread spends on schemas: about a tenth, whatever providers have it
//! decode and compare. So deaths, grants and revocations wait for one step and for the free time at most.
//!
//! The pace belongs to the thread, because all plugins of a group wait for the same thread.

use std::time::{Duration, Instant};

/// After a step the thread pauses for this many times what the step took.
const PAUSES: u32 = 10;
/// The longest pause.
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// Time that may be spent without a pause if little was spent before: enough for hundreds of small schemas.
const FREE: Duration = Duration::from_millis(20);

/// The time that was spent, and whether a plugin waits for the next step.
#[derive(Default)]
pub(super) struct Pace {
    /// When pauses will have made up for all the time that was spent.
    even_at: Option<Instant>,
    /// Whether a plugin waits until its schemas may be worked on. Until it has had its turn, the others wait as
    /// well.
    pub(super) is_awaited: bool,
}

impl Pace {
    /// When the next step may begin; `None` if there was no step yet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.even_at?.checked_sub(FREE * PAUSES)
    }

    /// Whether a step may begin now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.next().is_none_or(|next| next <= now)
    }

    /// Notes a step that was taken.
    pub(super) fn spend(&mut self, begun: Instant, ended: Instant) {
        // A longer step gets the longest pause anyway.
        let took = ended.saturating_duration_since(begun).min(MOST_PAUSE);
        let from = self.even_at.map_or(ended, |at| at.max(ended));
        let latest = ended + MOST_PAUSE + FREE * PAUSES;
        self.even_at = Some((from + took * PAUSES).min(latest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Takes steps of this length whenever the pace allows, for this time. Returns how many.
    fn steps(pace: &mut Pace, begin: Instant, (step, span): (Duration, Duration)) -> u32 {
        let (mut now, mut steps) = (begin, 0);
        while now < begin + span {
            if !pace.allows(now) {
                now = pace.next().unwrap();
                continue;
            }
            pace.spend(now, now + step);
            now += step;
            steps += 1;
        }
        steps
    }

    #[test]
    fn a_tenth_of_the_time_is_spent_on_steps_short_or_long() {
        for (step, most, least) in [
            (MS / 10, 10_250, 9_900),
            (MS, 1_025, 990),
            (50 * MS, 22, 19),
        ] {
            let (mut pace, begin) = (Pace::default(), Instant::now());
            let count = steps(&mut pace, begin, (step, 10_000 * MS));
            assert!((least..=most).contains(&count), "{count} of {step:?}");
        }
    }

    #[test]
    fn a_pause_is_a_second_at_most() {
        let begin = Instant::now();
        for step in [
            300 * MS,
            3_000 * MS,
            Duration::from_secs(u64::from(u32::MAX)),
        ] {
            let (mut pace, ended) = (Pace::default(), begin + step);
            pace.spend(begin, ended);
            assert!(!pace.allows(ended + 999 * MS) && pace.allows(ended + 1_000 * MS));
            // Nor is it longer when one step follows the other.
            let (begin, ended) = (ended + 1_000 * MS, ended + 1_300 * MS);
            pace.spend(begin, ended);
            assert!(pace.allows(ended + 1_000 * MS));
        }
    }

    /// A plugin that opened hundreds of gates with small types of other versions had to wait without need.
    #[test]
    fn hundreds_of_short_steps_are_made_at_once() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let short = Duration::from_micros(30);
        for number in 0..600 {
            let now = begin + short * number;
            assert!(pace.allows(now), "{number}");
            pace.spend(now, now + short);
        }
        // Time that was not used is not saved up.
        let later = begin + Duration::from_secs(60);
        pace.spend(later, later + 50 * MS);
        assert!(!pace.allows(later + 349 * MS) && pace.allows(later + 350 * MS));
    }
}
