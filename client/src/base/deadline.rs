//! Deadlines. Those of calls are in nanoseconds of the monotonic clock, those of requests to the broker are
//! `Instant`s.

use std::time::{Duration, Instant};

use callgate_layout::{Code, clock};

use super::chain;
use super::debug;
use super::due::TimeLimit;
use super::error::{Error, Result};

/// The deadline of a caller that does not wait at all and only takes what is there now. Even a short wait would leave
/// it to luck whether something comes in time.
pub(crate) const NO_TIME: u64 = 0;

/// How far the coarse clock may be behind, in nanoseconds.
const BEHIND: u64 = 10_000_000;

/// The deadline of a call that begins now. Inside a handler that is the deadline of the call which the handler
/// serves, if that is earlier.
///
/// # Errors
///
/// `TIMEOUT` if the timeout is zero: whether the call were answered would be luck.
#[inline]
pub(crate) fn call_due(limit: TimeLimit) -> Result<u64> {
    if limit.is_zero() {
        return Err(no_time());
    }
    let own = limit.end();
    match chain::is_unlimited() || !limit.inherits() {
        true => Ok(own),
        false => inherited(own),
    }
}

#[cold]
fn inherited(own: u64) -> Result<u64> {
    let outer = chain::end();
    if own < outer {
        return Ok(own);
    }
    if clock::coarse_now() + BEHIND >= outer && clock::now() >= outer {
        let text = "the deadline of the call that this handler serves has passed; this one was not made, and \
             `with_own_deadline` would give it its whole timeout";
        return Err(Error::new(Code::Timeout, text));
    }
    Ok(just_before(outer))
}

/// The deadline of calls that end with the call which their handler serves. Deadlines are sent in ticks and rounded
/// up; one nanosecond less makes it the same tick on each link of a chain.
fn just_before(outer: u64) -> u64 {
    outer.saturating_sub(1)
}

/// A note for the error of a call with this deadline, if it was that of the call which the handler serves.
pub(crate) fn whose(deadline: u64) -> &'static str {
    match !chain::is_unlimited() && just_before(chain::end()) == deadline {
        true => {
            "; the deadline was that of the call that this handler serves, and `with_own_deadline` would have \
             given this one its whole timeout"
        }
        false => "",
    }
}

/// The error for a call whose timeout is zero.
#[cold]
pub(crate) fn no_time() -> Error {
    let text = "the call's timeout is zero, so that no time is left for it; it was not run";
    Error::new(Code::Timeout, text)
}

/// The end of a time that begins now; a year from now if the clock cannot represent it.
pub(crate) fn instant_after(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + YEAR)
}

/// The deadline for the broker's answer to a request that is made now. There is none with `CALLGATE_DEBUG`, because
/// the broker itself may be stopped in a debugger.
pub(crate) fn answer_due(timeout: Duration) -> Instant {
    instant_after(match debug::is_on() {
        true => Duration::MAX,
        false => timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::due::Due;
    use callgate_layout::envelope::Chain;

    /// Each link of a chain added a tick to a deadline that was passed on.
    #[test]
    fn a_deadline_that_is_passed_on_stays_what_it_is() {
        let (now, limit) = (clock::now(), TimeLimit::new(Duration::from_secs(60)));
        let mut tick = clock::to_tick(now + 2_000_000_000);
        let first = tick;
        for depth in 1..=64 {
            let due = Due::at(clock::from_tick(tick, now));
            let _inside = chain::enter(Chain { id: 1, depth }, due);
            let deadline = call_due(limit).expect("there is time");
            assert_ne!(whose(deadline), "");
            tick = clock::to_tick(deadline);
            assert_eq!(tick, first);
        }
        assert_eq!(whose(limit.end()), "");
    }

    #[test]
    fn the_earlier_of_two_ends_counts() {
        let limit = |millis| TimeLimit::new(Duration::from_millis(millis));
        let chain = Chain { id: 1, depth: 1 };
        let inside = chain::enter(chain, Due::at(clock::now() + 5_000_000_000));
        let own = call_due(limit(2_000)).expect("there is time");
        assert!(own < clock::now() + 2_000_000_000);
        assert_eq!(whose(own), "");
        let outer = call_due(limit(20_000)).expect("there is time");
        assert!(outer < clock::now() + 5_000_000_000);
        let alone = call_due(limit(20_000).alone()).expect("there is time");
        assert!(alone > clock::now() + 10_000_000_000);
        drop(inside);
        let _late = chain::enter(chain, Due::at(clock::now()));
        let error = call_due(limit(20_000)).expect_err("there is no time left");
        assert_eq!((error.code(), error.may_have_run()), (Code::Timeout, false));
    }
}
