//! Waiting on a thread for the outcome of a call that was sent.
//!
//! Inside a handler the thread keeps its plugin's turn meanwhile and serves nobody, so that what comes back
//! to the plugin stands still: the broker is told of such a wait if it lasts, as of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::clock;

use super::completion::Completion;
use super::{SentCalls, Shared};
use crate::base::bytes::Bytes;
use crate::base::chain;
use crate::base::error::{Error, Result};
use crate::call::lasting;
use crate::call::target::{Origin, buried};
use crate::link::Link;
use crate::serve::dispatcher::serving_thread;
use crate::serve::stack;
use crate::serve::waits::{About, Wait, Word};

/// How long it takes at most, on a machine that is busy, to put an outcome where it belongs.
const SOON: Duration = Duration::from_millis(50);

/// A call whose outcome a thread waits for.
pub(crate) struct Awaited<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) link: &'a Link,
    pub(crate) number: u64,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) completion: &'a Arc<Completion>,
}

impl SentCalls {
    /// Waits for a call's outcome, until its deadline: also where a waker of the program's keeps the thread
    /// that looks after calls.
    pub(crate) fn wait(&self, call: &Awaited<'_>) -> Result<Bytes> {
        if let Some(chain) = chain::current()
            && stack::is_on_top(chain.id)
        {
            return self.refuse_wait(call);
        }
        let left = Duration::from_nanos(call.deadline.saturating_sub(clock::now()));
        let mut until = Instant::now() + left;
        let mut wait = Wait::new(&*call.origin.reporter);
        loop {
            let word = wait.heard();
            let nap = match word {
                Some(_) => Some(Instant::now()),
                None => call.nap(&mut wait),
            };
            let nap = nap.map_or(until, |nap| nap.min(until));
            if let Some(outcome) = call.completion.wait(nap, || wait.is_asked()) {
                return outcome;
            }
            if let Some(outcome) = word.and_then(|word| call.answer(word, &self.shared, &mut wait))
            {
                return outcome;
            }
            if Instant::now() < until {
                call.tell(&self.shared, &mut wait);
                continue;
            }
            if let Some((_, outcome)) = self.shared.state.lock().end(call.number) {
                return outcome;
            }
            // The thread has the outcome, and puts it there before it wakes anybody.
            until += SOON;
        }
    }

    /// Gives a call up that is waited for on top of another chain's wait.
    fn refuse_wait(&self, call: &Awaited<'_>) -> Result<Bytes> {
        let ended = self.shared.state.lock().end(call.number);
        match ended {
            Some((_, outcome)) => Err(given_up(buried(), &outcome)),
            // The thread has the outcome.
            None => call
                .completion
                .wait(Instant::now() + SOON, || false)
                .unwrap_or_else(|| Err(buried().maybe_run())),
        }
    }
}

/// An error for a call that was given up: whether it may have run is said by what it came to.
fn given_up(error: Error, outcome: &Result<Bytes>) -> Error {
    match outcome {
        Err(late) if !late.may_have_run() => error,
        _ => error.maybe_run(),
    }
}

impl Awaited<'_> {
    /// Until when to sleep at most, so that the broker is told of the wait if it lasts: on a thread that may
    /// keep something from others.
    fn nap(&self, wait: &mut Wait<'_>) -> Option<Instant> {
        let keeps = chain::current().is_some() || serving_thread::dispatchers().is_some();
        let now = clock::now();
        let nap = keeps.then(|| Duration::from_nanos(wait.until(now).saturating_sub(now)))?;
        Instant::now().checked_add(nap)
    }

    fn tell(&self, shared: &Shared, wait: &mut Wait<'_>) {
        let call = self.completion.clone();
        let wake = Box::new(move || call.nudge());
        wait.tell_waking(clock::now(), || self.about(shared), Some(wake));
    }

    /// What the broker is told of the wait. The call begins a chain of its own; the wait is one of the
    /// handler's chain.
    fn about(&self, shared: &Shared) -> Option<About> {
        let (ticket, _) = shared.state.lock().sent_in(self.number)?;
        lasting::answer((self.origin, self.link), ticket, chain::current())
    }

    /// Answers what the broker said, after a look for the outcome, which was not there; the outcome, if there
    /// is one.
    fn answer(&self, word: Word, shared: &Shared, wait: &mut Wait<'_>) -> Option<Result<Bytes>> {
        let mut state = shared.state.lock();
        match word {
            Word::Deadlock(error) => {
                let (_, outcome) = state.end(self.number)?;
                Some(Err(given_up(error, &outcome)))
            }
            Word::Confirm(round) => {
                match state.sent_in(self.number) {
                    Some((_, false)) => wait.confirm(round),
                    _ => wait.over(),
                }
                None
            }
        }
    }
}
