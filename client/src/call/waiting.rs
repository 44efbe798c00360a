//! Waiting for an answer: first awake, then asleep on a bell of this plugin or on the words themselves.

use std::thread;

use callgate_layout::bells::Sleeper;
use callgate_layout::clock;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;

use super::nested;
use super::target::{Target, ended};
use crate::base::chain;
use crate::base::error::Result;
use crate::base::futex_refused;
use crate::link::together;
use crate::serve::dispatcher::serving_thread;

/// After this many calls of a slot its caller yields its core once. A caller that is always answered while it spins
/// would otherwise keep the core, and other callers that wait for it would be answered a hundred times less often.
const TURN: u32 = 1024;

/// Waits until the answer has come. Fails if the link ends, or at the deadline, or when the token is cancelled.
#[inline(always)]
pub(super) fn await_reply(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.to.link;
    let dispatchers = serving_thread::dispatchers();
    if dispatchers.is_some() || chain::current().is_some() {
        return nested::await_reply(target, ticket, dispatchers.as_deref().unwrap_or_default());
    }
    if ticket.generation.is_multiple_of(TURN) {
        give_way();
    }
    let is_over = || link.is_answered(ticket) || !link.is_open() || target.is_cancelled();
    let backoff = &target.by.backoff;
    let until = || {
        if backoff.never_sleeps() {
            // The thread does not come to `park_for_reply` before the wait is over.
            together::ring_before_wait();
        }
        target.to.deadline
    };
    if backoff.stay_awake_until(until, is_over) && link.is_answered(ticket) {
        return Ok(());
    }
    park_for_reply(target, ticket)
}

/// Yields this thread's core to threads that wait for it.
#[cold]
fn give_way() {
    thread::yield_now();
}

#[cold]
fn park_for_reply(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    together::ring_before_wait();
    let start = clock::now();
    if target.by.backoff.never_sleeps() {
        return spin(target, ticket);
    }
    let sleeper = match target.cancel {
        None => target.to.link.sleeper(ticket),
        // Cancelling a token wakes threads that sleep on the token's word, and rings no bells.
        Some(_) => None,
    };
    let outcome = match sleeper {
        Some(sleeper) => sleep_on_bell(target, ticket, &sleeper),
        None => sleep_on_words(target, ticket),
    };
    target.by.backoff.learn(clock::now() - start);
    futex_refused::log();
    outcome
}

/// Waits awake until the wait has ended, also for a provider that takes no more calls.
fn spin(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let (link, backoff) = (target.to.link, &target.by.backoff);
    let is_over = || link.ended(ticket).is_some() || target.is_cancelled();
    loop {
        if let Some(outcome) = ended(target, ticket) {
            return outcome;
        }
        backoff.stay_awake(target.to.deadline, is_over);
    }
}

/// Sleeps on a bell, which the provider rings, or the thread that ends the link.
fn sleep_on_bell(target: &Target<'_>, ticket: Ticket, sleeper: &Sleeper<'_>) -> Result<()> {
    let sleep = |seen| sleeper.sleep(seen, target.to.deadline);
    sleeper.wait(|| ended(target, ticket), sleep)
}

/// Sleeps on all words whose change may end the wait.
fn sleep_on_words(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.to.link;
    let sleeper = link.word_sleeper(ticket);
    let sleep = |seen| {
        let words = sleeper.words(link.life(), seen);
        let words: Vec<_> = words.chain(target.cancelled_word()).collect();
        futex::wait_any_of(&words, target.to.deadline);
    };
    sleeper.wait(link.life(), || ended(target, ticket), sleep)
}
