//! How often the broker is asked for what is only worth knowing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many at once after a quiet time; the broker charges none of these to the plugin.
const BURST: u32 = 64;
/// One more each.
const EVERY: Duration = Duration::from_micros(15_625);

/// So many questions, and some more as time passes.
#[derive(Debug)]
pub(super) struct Allowance(Mutex<Left>);

#[derive(Debug)]
struct Left {
    count: u32,
    /// Until when those that time has brought are counted.
    counted: Option<Instant>,
}

impl Allowance {
    pub(super) fn new() -> Allowance {
        Allowance(Mutex::new(Left {
            count: BURST,
            counted: None,
        }))
    }

    /// Whether one more may be asked.
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

    /// A loop of calls to a gate that nobody provides would have its plugin sent away for too many requests.
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
