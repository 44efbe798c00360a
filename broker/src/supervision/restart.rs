//! The times and numbers that supervision goes by.

use std::time::Duration;

/// Asking more often than this would be work for its own sake, and a time between two questions that is zero would
/// have the course ask without an end.
const LEAST_BETWEEN_QUESTIONS: Duration = Duration::from_millis(1);

/// After which ends a program is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum When {
    /// After each end that nobody asked for.
    #[default]
    Always,
    /// After each end that nobody asked for, except one with exit code 0: that one is a stop.
    OnFailure,
}

/// How a program is supervised. The defaults are those of each method.
///
/// A time of [`Duration::MAX`] means that this never happens.
///
/// ```
/// use std::time::Duration;
/// use callgate::supervision::Restart;
/// let restart = Restart::default()
///     .ready_within(Duration::from_secs(5))
///     .backoff([Duration::from_millis(100), Duration::from_secs(1)]);
/// assert_eq!(restart.stop_grace, Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restart {
    /// See [`Restart::when`].
    pub when: When,
    /// See [`Restart::ready_within`].
    pub ready_within: Duration,
    /// See [`Restart::ask_every`].
    pub ask_every: Duration,
    /// See [`Restart::hung_after`].
    pub hung_after: u32,
    /// See [`Restart::call_deadline`].
    pub call_deadline: Duration,
    /// See [`Restart::stop_grace`].
    pub stop_grace: Duration,
    /// See [`Restart::backoff`].
    pub backoff: Vec<Duration>,
    /// See [`Restart::steady_after`].
    pub steady_after: Duration,
    /// See [`Restart::quarantine`].
    pub quarantine_crashes: u32,
    /// See [`Restart::quarantine`].
    pub quarantine_within: Duration,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart {
            when: When::Always,
            ready_within: Duration::from_secs(30),
            ask_every: Duration::from_secs(10),
            hung_after: 3,
            call_deadline: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            backoff: [1, 2, 5, 15, 60].map(Duration::from_secs).to_vec(),
            steady_after: Duration::from_secs(600),
            quarantine_crashes: 5,
            quarantine_within: Duration::from_secs(600),
        }
    }
}

impl Restart {
    /// After which ends the program is started again; by default after each that nobody asked for.
    pub fn when(mut self, when: When) -> Restart {
        self.when = when;
        self
    }

    /// Time from the start of the process until it must be ready; by default 30 s. Then it is killed, which is a crash.
    pub fn ready_within(mut self, time: Duration) -> Restart {
        self.ready_within = time;
        self
    }

    /// How often a program that is ready is asked whether it still serves; by default every 10 s, and a millisecond at
    /// least.
    pub fn ask_every(mut self, time: Duration) -> Restart {
        self.ask_every = time;
        self
    }

    /// So many questions in a row without an answer mean that the program hangs; by default 3, and one at least. Each
    /// has time for its answer until the next one would be asked. A program that hangs is killed, which is a crash.
    pub fn hung_after(mut self, questions: u32) -> Restart {
        self.hung_after = questions;
        self
    }

    /// How long a call to or of the program may take where its caller says nothing else; by default 30 s. A course does
    /// not use it.
    pub fn call_deadline(mut self, time: Duration) -> Restart {
        self.call_deadline = time;
        self
    }

    /// Time from SIGTERM to SIGKILL where the program is asked to end; by default 5 s.
    pub fn stop_grace(mut self, time: Duration) -> Restart {
        self.stop_grace = time;
        self
    }

    /// How long the next start is waited with after the first crash, the second, and so on; the last one counts for all
    /// further crashes. By default 1, 2, 5, 15 and 60 s. With none, each start follows at once.
    pub fn backoff(mut self, times: impl IntoIterator<Item = Duration>) -> Restart {
        self.backoff = times.into_iter().collect();
        self
    }

    /// After a process that ran for so long, crashes are counted anew for the [back-off](Restart::backoff); by default
    /// 10 minutes. That it was started counts for nothing.
    pub fn steady_after(mut self, time: Duration) -> Restart {
        self.steady_after = time;
        self
    }

    /// So many crashes within so much time mean that the program is not started again until somebody asks for it; by
    /// default 5 within 10 minutes. With 0 crashes there is no quarantine.
    pub fn quarantine(mut self, crashes: u32, within: Duration) -> Restart {
        self.quarantine_crashes = crashes;
        self.quarantine_within = within;
        self
    }

    /// Time from one question to the next, which is also the time for its answer.
    pub(super) fn between_questions(&self) -> Duration {
        self.ask_every.max(LEAST_BETWEEN_QUESTIONS)
    }

    /// The wait before the next start, after so many crashes in a row.
    pub(super) fn wait_after(&self, crashes: usize) -> Duration {
        let at = crashes
            .saturating_sub(1)
            .min(self.backoff.len().saturating_sub(1));
        self.backoff.get(at).copied().unwrap_or(Duration::ZERO)
    }
}
