//! Limits how often the broker is asked questions that only improve an error's text.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many questions may be asked at once after a quiet time; the broker charges none of these to the plugin.
const BURST: u32 = 64;
/// One more question is allowed after each such time.
const EVERY: Duration = Duration::from_micros(15_625);

/// Counts the questions that may still be asked.
#[derive(Debug)]
pub(super) struct Allowance(Mutex<Left>);

#[derive(Debug)]
struct Left {
    count: u32,
    /// The time up to which new questions have been added.
    counted: Option<Instant>,
}

impl Allowance {
    pub(super) fn new() -> Allowance {
        Allowance(Mutex::new(Left {
            count: BURST,
            counted: None,
        }))
    }

    /// Takes the right to ask one question, if there is one left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut left = self.0.lock();
        let since = left.counted.map(|then| now.saturating_duration_since(then));
        let more = since.map_or(0, |since| since.as_nanos() / EVERY.as_nanos());
        if more > 0 || since.is_none() {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            left.count = left.count.saturating_add(more).min(BURST);
            left.counted = Some(now);
        }
        let Some(count) = left.count.checked_sub(1) else {
            return false;
        };
        left.count = count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop of calls to a gate that nobody provides got its plugin sent away, for too many requests.
    #[test]
    fn so_many_at_once_and_then_64_a_second() {
        let (allowance, now) = (Allowance::new(), Instant::now());
        let taken = |at: Instant| (0..1000).filter(|_| allowance.take(at)).count();
        assert_eq!(taken(now), 64);
        assert_eq!(taken(now + Duration::from_millis(10)), 0);
        assert_eq!(taken(now + Duration::from_millis(500)), 32);
        assert_eq!(taken(now + Duration::from_secs(3600)), 64);
    }
}
