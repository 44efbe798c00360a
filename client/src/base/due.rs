//! Time limits of calls and their deadlines, in nanoseconds of the monotonic clock.

use std::time::Duration;

use callgate_layout::clock;

use super::debug;

/// Shorter timeouts are counted with the precise clock; in nanoseconds. The coarse clock is up to 10 ms behind,
/// which does not matter for long timeouts but does for short ones.
const PRECISE_BELOW: u64 = 1_000_000_000;

/// The time limit for each call of a handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    nanos: u64,
    inherits: bool,
}

impl TimeLimit {
    /// A limit of this time, or the longest that a deadline allows. With `CALLGATE_DEBUG` calls have the longest
    /// time, even inside handlers.
    pub(crate) fn new(timeout: Duration) -> TimeLimit {
        if debug::is_on() {
            return TimeLimit {
                nanos: clock::MAX_AHEAD_NS,
                inherits: false,
            };
        }
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        TimeLimit {
            nanos: nanos.min(clock::MAX_AHEAD_NS),
            inherits: true,
        }
    }

    /// Replaces the time, and keeps everything else.
    pub(crate) fn with_timeout(self, timeout: Duration) -> TimeLimit {
        let new = TimeLimit::new(timeout);
        TimeLimit {
            inherits: self.inherits && new.inherits,
            ..new
        }
    }

    /// The time that is left of a call with this deadline.
    pub(crate) fn left_until(self, end: u64) -> TimeLimit {
        TimeLimit {
            nanos: end.saturating_sub(clock::now()),
            ..self
        }
    }

    /// The same limit, without the deadline of the call that a handler serves.
    pub(crate) fn alone(self) -> TimeLimit {
        TimeLimit {
            inherits: false,
            ..self
        }
    }

    /// Whether calls made inside a handler also end at the deadline of the call that it serves.
    #[inline]
    pub(crate) fn inherits(self) -> bool {
        self.inherits
    }

    /// Whether the time is zero.
    #[inline]
    pub(crate) fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The deadline of a call that begins now.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        after(self.nanos)
    }

    /// The deadline of a call for which no clock is read now: its time is counted from the moment when the deadline
    /// is first asked for.
    #[inline]
    pub(crate) fn not_counted(self) -> Due {
        Due(self.nanos | NOT_COUNTED)
    }
}

#[inline]
fn after(nanos: u64) -> u64 {
    let now = match nanos >= PRECISE_BELOW {
        true => clock::coarse_now(),
        false => clock::now(),
    };
    now + nanos
}

/// A bit that marks a time which is not counted yet; no deadline is so far ahead.
const NOT_COUNTED: u64 = 1 << 63;

/// The deadline of a call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(u64);

impl Due {
    /// There is no call, so no deadline.
    pub(crate) const NEVER: Due = Due(u64::MAX);

    /// A deadline at this time.
    #[inline]
    pub(crate) fn at(nanos: u64) -> Due {
        Due(nanos)
    }

    /// The deadline. If the time was not counted before, it is counted from now on.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        match self {
            Due::NEVER => u64::MAX,
            Due(counted) if counted < NOT_COUNTED => counted,
            Due(nanos) => after(nanos & !NOT_COUNTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_once() {
        let limit = TimeLimit::new(Duration::from_secs(2));
        let due = limit.not_counted();
        let first = due.end();
        std::thread::sleep(Duration::from_millis(30));
        assert!(due.end() > first, "it was counted before anybody asked");
        let counted = Due::at(first);
        assert_eq!(counted.end(), first);
        assert_eq!(Due::NEVER.end(), u64::MAX);
    }

    #[test]
    fn no_timeout_is_too_long() {
        for timeout in [Duration::MAX, Duration::from_secs(1 << 40)] {
            let limit = TimeLimit::new(timeout);
            assert!(limit.end() <= clock::now() + clock::MAX_AHEAD_NS);
            assert!(limit.not_counted().end() <= clock::now() + clock::MAX_AHEAD_NS);
        }
        assert!(TimeLimit::new(Duration::ZERO).is_zero());
        let own = TimeLimit::new(Duration::ZERO).alone();
        assert!(!own.with_timeout(Duration::MAX).inherits());
    }
}
