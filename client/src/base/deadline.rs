//! When a wait has to be over. Deadlines of calls are nanoseconds of the monotonic clock, those of
//! questions to the broker are times of the standard library.

use std::time::{Duration, Instant};

use callgate_layout::clock;

use super::debug;

/// The deadline of who does not wait at all: what it asks for may come in the next moment, and it
/// would be luck whether it came in time.
pub(crate) const NO_TIME: u64 = 0;

/// Shorter timeouts are counted from what the precise clock shows, in nanoseconds.
const PRECISE_BELOW: u64 = 1_000_000_000;

/// When a call that begins now has to be over; `None` where it has no time at all.
///
/// The timeouts of most calls are no shorter than a second, and only of those that are it is asked
/// whether they are zero.
#[inline]
pub(crate) fn call_due(timeout: Duration) -> Option<u64> {
    let nanos = nanos_of(timeout);
    if nanos >= PRECISE_BELOW {
        return Some(clock::coarse_now() + nanos);
    }
    (nanos != 0).then(|| clock::now() + nanos)
}

/// When a call that begins now has to be over, in nanoseconds of the monotonic clock.
///
/// The coarse clock is behind by up to 10 ms, which is cheap for long timeouts and too much for
/// short ones.
#[inline]
pub(crate) fn nanos_after(timeout: Duration) -> u64 {
    let nanos = nanos_of(timeout);
    let now = if nanos < PRECISE_BELOW {
        clock::now()
    } else {
        clock::coarse_now()
    };
    now + nanos
}

/// A call's timeout in nanoseconds, as far as a deadline can lie ahead.
#[inline]
fn nanos_of(timeout: Duration) -> u64 {
    match debug::is_on() {
        true => clock::MAX_AHEAD_NS,
        false => u64::try_from(timeout.as_nanos())
            .unwrap_or(u64::MAX)
            .min(clock::MAX_AHEAD_NS),
    }
}

/// The end of a time that begins now. One beyond what the clock can tell is as good as a year.
pub(crate) fn instant_after(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + YEAR)
}

/// When the broker has to have answered what is asked now. In a debugging session nobody hurries
/// it: it may be what is looked at.
pub(crate) fn answer_due(timeout: Duration) -> Instant {
    instant_after(match debug::is_on() {
        true => Duration::MAX,
        false => timeout,
    })
}
