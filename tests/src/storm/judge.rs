//! Which outcomes are allowed for each step.

use std::time::{Duration, Instant};

use callgate_client::{Code, Error};

use super::tally::Tally;

/// How much later than its deadline a call may return. Time in which its process was stopped does not count (see
/// [`Awake`](super::tally::Awake)). Copying large payloads counts, and other processes use the processors.
pub(super) const BOUND: Duration = Duration::from_secs(2);
/// A long deadline is counted from the kernel's last tick, up to ten milliseconds ago.
const TICKS: Duration = Duration::from_millis(12);

/// The errors that connecting and opening may give while processes and the broker are stopped.
pub(super) const OPENING: [Code; 2] = [Code::Timeout, Code::NotReady];
/// The errors that a call may give, and a call that a handler makes.
const CALLING: [Code; 4] = [
    Code::NotReady,
    Code::ProviderGone,
    Code::Timeout,
    Code::Overloaded,
];

/// Ends the process if an error is not one of those; otherwise pauses briefly.
pub(super) fn allow(error: &Error, codes: &[Code]) {
    assert!(codes.contains(&error.code()), "not to be expected: {error}");
    std::thread::sleep(Duration::from_millis(5));
}

/// A step of a call that has begun: its timeout, and when it began.
pub(super) struct Begun {
    pub(super) what: String,
    pub(super) timeout: Duration,
    is_chain: bool,
    start: Instant,
    awake: Duration,
}

impl Begun {
    pub(super) fn now(what: String, timeout: Duration, is_chain: bool, tally: &Tally) -> Begun {
        Begun {
            what,
            timeout,
            is_chain,
            start: Instant::now(),
            awake: tally.awake.now(),
        }
    }

    /// Checks how it ended, and counts it. `cancelled` is the time at which its token was cancelled.
    pub(super) fn ended(&self, error: Option<&Error>, cancelled: Option<Duration>, tally: &Tally) {
        let now = tally.awake.now();
        let mut due = self.awake + self.timeout;
        if let Some(at) = cancelled {
            due = due.min(at.max(self.awake));
        }
        let late = now.saturating_sub(due);
        let outcome = error.map_or_else(|| "OK".to_owned(), Error::to_string);
        let what = &self.what;
        let took = now - self.awake;
        tally.late(late, what);
        assert!(
            late < BOUND,
            "{late:?} too late, after {took:?}: {what}: {outcome}"
        );
        if let Some(error) = error {
            self.check(error, cancelled.is_some(), tally);
        }
        tally.count(error, self.timeout);
    }

    fn check(&self, error: &Error, was_cancelled: bool, tally: &Tally) {
        let (what, code) = (&self.what, error.code());
        let is_fine = match code {
            Code::Cancelled => was_cancelled,
            Code::BrokerGone => tally.may_lack_broker(),
            Code::Timeout => is_no_link(error) || self.start.elapsed() + TICKS >= self.timeout,
            Code::HandlerError => self.is_chain && is_fine_inside(error, tally),
            code => CALLING.contains(&code),
        };
        let after = self.start.elapsed();
        assert!(
            is_fine,
            "after {after:?} of {:?}, {what}: {error}",
            self.timeout
        );
    }
}

/// Whether the link could not be set up because one of the two sides was stopped. Calls report that at once.
pub(super) fn is_no_link(error: &Error) -> bool {
    let text = "It may be stopped or too busy; the gate can be opened when it goes on";
    error.code() == Code::Timeout && !error.may_have_run() && error.message().contains(text)
}

/// Whether a handler in a chain failed only because its own call did.
fn is_fine_inside(error: &Error, tally: &Tally) -> bool {
    let code = error
        .context()
        .and_then(|context| context["handler_code"].as_str());
    let is = |known: &Code| code == Some(known.as_str());
    // The outermost caller's token also ends waits of the chain inside its own process.
    is(&Code::Cancelled)
        || is(&Code::BrokerGone) && tally.may_lack_broker()
        || CALLING.iter().any(is)
}
