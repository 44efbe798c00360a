//! The monotonic clocks of plugins, which differ if the plugins run in different time namespaces.

use std::fmt;
use std::time::Duration;

use callgate_layout::control::Clock;

/// How much two clocks may differ if their offsets are not known: a hello is read some time after it was written.
const TOLERANCE_NS: u64 = 10_000_000_000;

/// A plugin's clock compared with the broker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenClock {
    offset: Option<i64>,
    /// How far it was ahead of the broker's clock when its hello was read. The true value is a little larger, because the hello took some
    /// time.
    ahead: i64,
}

impl SeenClock {
    /// Takes what a plugin has said of its clock when the broker's clock showed `now`.
    pub(crate) fn new(said: Clock, now: u64) -> SeenClock {
        let ahead = i128::from(said.now) - i128::from(now);
        SeenClock {
            offset: said.offset,
            ahead: ahead.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        }
    }

    /// How far two clocks are apart; `None` if they are the same, as far as the broker can tell.
    pub(crate) fn apart(self, other: SeenClock) -> Option<Apart> {
        let (apart, tolerance) = match (self.offset, other.offset) {
            (Some(one), Some(two)) => (one.abs_diff(two), 0),
            _ => (self.ahead.abs_diff(other.ahead), TOLERANCE_NS),
        };
        (apart > tolerance).then_some(Apart(Duration::from_nanos(apart)))
    }
}

/// How far two clocks are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apart(Duration);

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "their monotonic clocks are {:?} apart, because they run in different time namespaces, so \
             that no deadline of a call could be kept; start both in the same time namespace",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(offset: Option<i64>, now: u64) -> SeenClock {
        SeenClock::new(Clock { offset, now }, 1_000_000_000_000)
    }

    #[test]
    fn known_offsets_decide_however_late_a_hello_is_read() {
        let late = seen(Some(0), 1_000_000_000);
        assert_eq!(late.apart(seen(Some(0), 1_000_000_000_000)), None);
        let apart = late.apart(seen(Some(-1), 1_000_000_000));
        assert_eq!(apart, Some(Apart(Duration::from_nanos(1))));
    }

    #[test]
    fn without_offsets_the_clocks_are_compared() {
        let one = seen(None, 1_000_000_000_000);
        assert_eq!(one.apart(seen(Some(9), 995_000_000_000)), None);
        let apart = one.apart(seen(None, 900_000_000_000));
        assert_eq!(apart, Some(Apart(Duration::from_secs(100))));
    }

    /// Times that no clock shows.
    #[test]
    fn lies_do_no_harm() {
        let ends = [Some(i64::MIN), Some(i64::MAX), None];
        for (a, b) in ends.iter().flat_map(|a| ends.iter().map(move |b| (a, b))) {
            for (now, then) in [(0, u64::MAX), (u64::MAX, 0), (0, 0)] {
                let _ = seen(*a, now)
                    .apart(seen(*b, then))
                    .map(|apart| apart.to_string());
            }
        }
    }
}
