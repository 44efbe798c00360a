//! Waiting for an answer on a thread that runs handlers: calls of its own chain are served
//! meanwhile, on its stack.

use std::sync::Arc;

use callgate_layout::clock;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::turns::Watch;

use super::target::{Target, ended};
use crate::base::chain;
use crate::base::error::Result;
use crate::serve::dispatcher::{Dispatcher, LATE_LOOK};
use crate::serve::lending;
use crate::serve::turn::TurnLock;

/// Calls served before looking at deadline, link and turn: a peer that makes one after the other
/// holds nobody for ever.
const BATCH: u32 = 16;

/// A wait inside a chain.
struct Wait<'a> {
    target: &'a Target<'a>,
    ticket: Ticket,
    chain: u64,
    dispatchers: &'a [Arc<Dispatcher>],
}

/// Waits until the answer is there; an error when the link, the deadline or the caller's patience
/// ends first.
pub(crate) fn await_reply(
    target: &Target<'_>,
    ticket: Ticket,
    dispatchers: &[Arc<Dispatcher>],
) -> Result<()> {
    // What comes back in the chain may run on other threads as long as this one waits.
    let _lent = lending::lend();
    let names = target.to.link.chains(target.to.link.end());
    let begun = || names.begun_by(ticket.slot, ticket.generation);
    let wait = Wait {
        target,
        ticket,
        chain: chain::current().unwrap_or_else(begun).id,
        dispatchers,
    };
    loop {
        let found = wait.serve();
        // Late answers have deadlines, which are looked at before parking.
        let until = match wait.settle() {
            Some(_) => target.to.deadline.min(clock::now() + LATE_LOOK),
            None => target.to.deadline,
        };
        if found || target.backoff.stay_awake(until, || wait.is_over()) {
            if let Some(outcome) = ended(target, ticket) {
                return outcome;
            }
        } else if let Some(outcome) = wait.park() {
            return outcome;
        }
    }
}

impl Wait<'_> {
    /// The plugins whose handlers this thread may run right now.
    fn mine(&self) -> impl Iterator<Item = &Arc<Dispatcher>> {
        self.dispatchers
            .iter()
            .filter(|dispatcher| dispatcher.is_mine())
    }

    /// Serves a number of calls at most; whether there were any.
    fn serve(&self) -> bool {
        let mut found = false;
        for dispatcher in self.mine() {
            let mut left = BATCH;
            while left > 0
                && !self.target.to.link.is_answered(self.ticket)
                && dispatcher.serve_chain(self.chain)
            {
                (found, left) = (true, left - 1);
            }
        }
        found
    }

    /// Publishes late answers; when the time of the next one is up.
    fn settle(&self) -> Option<u64> {
        self.mine()
            .filter_map(|dispatcher| dispatcher.settle())
            .min()
    }

    fn is_over(&self) -> bool {
        let link = self.target.to.link;
        link.is_answered(self.ticket)
            || link.is_gone()
            || self.target.is_cancelled()
            || self
                .mine()
                .any(|dispatcher| dispatcher.may_have(self.chain))
    }

    /// Sleeps until there is something to do; the outcome, if there is one.
    fn park(&self) -> Option<Result<()>> {
        let (target, ticket) = (self.target, self.ticket);
        let link = target.to.link;
        let start = clock::now();
        // The same ones to the end, although another thread may begin to pump meanwhile.
        let mine: Vec<_> = self.mine().collect();
        let bells: Vec<_> = mine.iter().map(|dispatcher| dispatcher.bells()).collect();
        let mut words: Vec<Awaited<'_>> = bells.iter().flat_map(|bells| bells.words()).collect();
        mine.iter().for_each(|dispatcher| dispatcher.begin_park());
        // Calls of the chain may be queued while another chain has their turn.
        let turn_locks = mine.iter().map(|dispatcher| dispatcher.turn_lock());
        let watches: Vec<_> = turn_locks.map(TurnLock::watch).collect();
        words.extend(watches.iter().map(Watch::word));
        // Space that is released from here on rings a bell.
        let late = self.settle();
        let sleeper = link.word_sleeper(ticket);
        let seen = sleeper.seen();
        let outcome = ended(target, ticket);
        if outcome.is_none()
            && !mine
                .iter()
                .any(|dispatcher| dispatcher.may_have(self.chain))
        {
            words.splice(..0, [sleeper.word(seen), link.life().word()]);
            words.extend(target.cancelled_word());
            let until = late.unwrap_or(target.to.deadline).min(target.to.deadline);
            futex::wait_any_of(&words, until);
        }
        drop((sleeper, watches));
        mine.iter().for_each(|dispatcher| dispatcher.end_park());
        target.backoff.learn(clock::now() - start);
        outcome
    }
}
