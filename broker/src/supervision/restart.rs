//! The times and numbers for the supervision of a program.

use std::time::Duration;

/// The shortest time between two questions. Asking more often would only cost time, and with a time of zero the course would ask without
/// end.
const LEAST_BETWEEN_QUESTIONS: Duration = Duration::from_millis(1);

/// The ends after which a program is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum When {
    /// After each end that was not requested.
    #[default]
    Always,
    /// After each end that was not requested, except an exit with code 0, which counts as a stop.
    OnFailure,
}

/// How a program is supervised. The methods give the default of each setting.
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
    /// The ends after which the program is started again; by default each end that was not requested.
    pub fn when(mut self, when: When) -> Restart {
        self.when = when;
        self
    }

    /// The time from the start of the process in which it must become ready; by default 30 s. Otherwise it is killed, which counts as a
    /// crash.
    pub fn ready_within(mut self, time: Duration) -> Restart {
        self.ready_within = time;
        self
    }

    /// How often a program that is ready is asked whether it still serves; by default every 10 s, and at most once in a millisecond.
    pub fn ask_every(mut self, time: Duration) -> Restart {
        self.ask_every = time;
        self
    }

    /// After how many questions in a row without an answer the program counts as hung; by default 3, and at least 1. The time for an answer
    /// ends when the next question is due. A program that hangs is killed, which counts as a crash.
    pub fn hung_after(mut self, questions: u32) -> Restart {
        self.hung_after = questions;
        self
    }

    /// How long a call to the program or by it may take if its caller sets no other limit; by default 30 s. The course itself does not use
    /// this.
    pub fn call_deadline(mut self, time: Duration) -> Restart {
        self.call_deadline = time;
        self
    }

    /// The time between SIGTERM and SIGKILL when the program is asked to end; by default 5 s.
    pub fn stop_grace(mut self, time: Duration) -> Restart {
        self.stop_grace = time;
        self
    }

    /// The waits before the next start after the first crash, the second, and so on; the last one is used for all further crashes. By
    /// default 1, 2, 5, 15 and 60 s. With an empty list each start follows without a wait.
    pub fn backoff(mut self, times: impl IntoIterator<Item = Duration>) -> Restart {
        self.backoff = times.into_iter().collect();
        self
    }

    /// After a process that ran for this long, the crashes that select the [wait](Restart::backoff) are counted from zero; by default 10
    /// minutes. A successful start alone does not reset the count.
    pub fn steady_after(mut self, time: Duration) -> Restart {
        self.steady_after = time;
        self
    }

    /// After this many crashes within this time the program is not started again until that is requested; by default 5 within 10 minutes.
    /// With 0 crashes there is no quarantine.
    pub fn quarantine(mut self, crashes: u32, within: Duration) -> Restart {
        self.quarantine_crashes = crashes;
        self.quarantine_within = within;
        self
    }

    /// The time from one question to the next, which is also the time limit for an answer.
    pub(super) fn between_questions(&self) -> Duration {
        self.ask_every.max(LEAST_BETWEEN_QUESTIONS)
    }

    /// The wait before the next start after this many crashes in a row.
    pub(super) fn wait_after(&self, crashes: usize) -> Duration {
        let at = crashes
            .saturating_sub(1)
            .min(self.backoff.len().saturating_sub(1));
        self.backoff.get(at).copied().unwrap_or(Duration::ZERO)
    }
}
