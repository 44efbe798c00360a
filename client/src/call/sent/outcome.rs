//! Waiting on a thread for the outcome of a call that was sent.
//!
//! Inside a handler the thread keeps its plugin's turn meanwhile and serves nobody. Calls that lead back to the
//! plugin cannot run, so the broker is told of such a wait if it lasts, as of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::clock;
use callgate_layout::pending::Ticket;

use super::completion::{Completion, Lost, Outcome};
use super::{SentCalls, Shared};
use crate::base::chain;
use crate::base::error::Error;
use crate::call::lasting;
use crate::call::target::{Origin, buried_after_sending};
use crate::link::{Link, together};
use crate::serve::dispatcher::serving_thread;
use crate::serve::round;
use crate::serve::stack;
use crate::serve::waits::{About, Wait, Word};

/// How long it may take on a busy machine until an outcome is in its completion.
const SOON: Duration = Duration::from_millis(50);

/// A call for whose outcome a thread waits.
pub(crate) struct Awaited<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) number: u64,
    /// In nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) completion: &'a Arc<Completion>,
}

/// The slot of the call when the broker was told of the wait. A call that is refused may be sent again, in another
/// slot.
type Place = Option<(Arc<Link>, Ticket)>;

impl SentCalls {
    /// Waits for a call's outcome, until its deadline even if a waker of the program's keeps the thread busy that
    /// looks after calls.
    pub(crate) fn wait(&self, call: &Awaited<'_>) -> Outcome {
        if let Some(chain) = chain::current()
            && stack::is_on_top(chain.id)
        {
            return self.refuse_wait(call);
        }
        if let Some(outcome) = call.completion.take() {
            return outcome;
        }
        // As before other waits in a handler.
        round::end();
        together::ring_before_wait();
        if let Some(outcome) = self.lead(call) {
            return outcome;
        }
        let _follower = self.follow();
        let left = Duration::from_nanos(call.deadline.saturating_sub(clock::now()));
        let mut until = Instant::now() + left;
        let (mut wait, mut place) = (Wait::new(&*call.origin.reporter), None);
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
            if let Some(word) = word
                && let Some(outcome) = call.answer(word, &self.shared, (&mut wait, &place))
            {
                return outcome;
            }
            if Instant::now() < until {
                call.tell(&self.shared, (&mut wait, &mut place));
                continue;
            }
            if let Some((_, outcome)) = self.shared.state.lock().end(call.number) {
                return outcome;
            }
            // That thread has the outcome already, and puts it in before it calls any waker.
            until += SOON;
        }
    }

    /// Gives up a call for which a thread would wait on top of another chain's wait.
    fn refuse_wait(&self, call: &Awaited<'_>) -> Outcome {
        let ended = self.shared.state.lock().end(call.number);
        match ended {
            Some((_, outcome)) => given_up(buried_after_sending(), outcome),
            // The thread that looks after calls has the outcome already.
            None => {
                let soon = Instant::now() + SOON;
                let outcome = call.completion.wait(soon, || false);
                let error = buried_after_sending().maybe_run();
                outcome.unwrap_or(Err(Lost { error, link: None }))
            }
        }
    }
}

/// The error of a call that was given up. Its outcome tells whether it may have run.
fn given_up(error: Error, outcome: Outcome) -> Outcome {
    let lost = outcome.err();
    let error = match &lost {
        Some(lost) if !lost.error.may_have_run() => error,
        _ => error.maybe_run(),
    };
    let link = lost.and_then(|lost| lost.link);
    Err(Lost { error, link })
}

impl Awaited<'_> {
    /// Until when to sleep, at most, so that the broker is told of the wait if it lasts. Only on a thread that may
    /// keep something from others.
    fn nap(&self, wait: &mut Wait<'_>) -> Option<Instant> {
        let keeps = chain::current().is_some() || serving_thread::dispatchers().is_some();
        let now = clock::now();
        let nap = keeps.then(|| Duration::from_nanos(wait.until(now).saturating_sub(now)))?;
        Instant::now().checked_add(nap)
    }

    /// Tells the broker about the wait, if it has lasted, and notes the slot of the call.
    fn tell(&self, shared: &Shared, (wait, place): (&mut Wait<'_>, &mut Place)) {
        let call = self.completion.clone();
        let wake = Box::new(move || call.nudge());
        let about = || {
            let (link, ticket, _) = shared.state.lock().sent_in(self.number)?;
            let about = self.about(&link, ticket);
            *place = Some((link, ticket));
            about
        };
        wait.tell_waking(clock::now(), about, Some(wake));
    }

    /// Describes the wait for the broker. The call began a chain of its own, of which nothing is served here
    /// meanwhile; the wait belongs to the handler's chain, or outside of handlers to a chain of its own.
    fn about(&self, link: &Link, ticket: Ticket) -> Option<About> {
        let chain = chain::current().unwrap_or_else(chain::fresh);
        lasting::outcome((self.origin, link), ticket, chain)
    }

    /// Answers the broker's record, after a look that has found no outcome. Returns the outcome if the broker's
    /// record ends the wait.
    fn answer(
        &self,
        word: Word,
        shared: &Shared,
        (wait, place): (&mut Wait<'_>, &Place),
    ) -> Option<Outcome> {
        let mut state = shared.state.lock();
        match word {
            Word::Deadlock(error) => {
                let (_, outcome) = state.end(self.number)?;
                Some(given_up(error, outcome))
            }
            Word::Confirm(round) => {
                let is_there = |link: &Arc<Link>, ticket| {
                    let known = place.as_ref();
                    known.is_some_and(|place| Arc::ptr_eq(&place.0, link) && place.1 == ticket)
                };
                match state.sent_in(self.number) {
                    Some((link, ticket, false)) if is_there(&link, ticket) => wait.confirm(round),
                    _ => wait.over(),
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use callgate_layout::Code;

    use super::*;

    /// A call that was given up was reported as not run although it may have run, so its caller repeated it.
    #[test]
    fn a_call_that_was_given_up_may_have_run_unless_it_certainly_did_not() {
        let error = |code| Error::new(code, "");
        let given_up = |outcome| {
            let Err(Lost { error, link }) = given_up(error(Code::Deadlock), outcome) else {
                panic!("it was given up");
            };
            assert!(link.is_none());
            (error.code(), error.may_have_run())
        };
        let lost = |error| Err(Lost { error, link: None });
        let refused = lost(error(Code::Overloaded));
        assert_eq!(given_up(refused), (Code::Deadlock, false));
        let late = lost(error(Code::Timeout).maybe_run());
        assert_eq!(given_up(late), (Code::Deadlock, true));
    }
}
