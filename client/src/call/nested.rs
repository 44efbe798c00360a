//! Waiting for an answer on a thread that runs handlers. Meanwhile it serves calls of its own chain, on its stack.

use std::sync::Arc;

use callgate_layout::clock;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::turns::Watch;

use super::lasting;
use super::target::{Target, ended};
use crate::base::chain;
use crate::base::error::Result;
use crate::link::together;
use crate::serve::dispatcher::{Dispatcher, LATE_LOOK};
use crate::serve::lending;
use crate::serve::round;
use crate::serve::turn::TurnLock;
use crate::serve::waits::{self, Word};

/// How many calls are served before deadline, link and turn are looked at again: a peer that makes one call after
/// the other must not hold the thread for ever.
const BATCH: u32 = 16;

/// A wait inside a chain.
struct Wait<'a> {
    target: &'a Target<'a>,
    ticket: Ticket,
    chain: u64,
    dispatchers: &'a [Arc<Dispatcher>],
    /// The wait as it is reported to the broker if it lasts.
    reported: waits::Wait<'a>,
}

/// Waits until the answer has come. Fails if the link ends, or at the deadline, or when the token is cancelled.
pub(crate) fn await_reply(
    target: &Target<'_>,
    ticket: Ticket,
    dispatchers: &[Arc<Dispatcher>],
) -> Result<()> {
    // What the handler has left for the end of its round is done before it waits.
    round::end();
    // Calls of this chain may run on other threads while this one waits.
    let _lent = lending::lend();
    let names = target.to.link.chains(target.to.link.end());
    let begun = || names.begun_by(ticket.slot, ticket.generation);
    let mut wait = Wait {
        target,
        ticket,
        chain: chain::current().unwrap_or_else(begun).id,
        dispatchers,
        reported: waits::Wait::new(&*target.by.reporter),
    };
    loop {
        // Read before the look, so that the look can confirm the wait.
        let word = wait.reported.heard();
        let found = wait.serve();
        if let Some(word) = word
            && let Some(outcome) = wait.answer(word, found)
        {
            return outcome;
        }
        if found || wait.stay_awake() {
            if let Some(outcome) = ended(target, ticket) {
                return outcome;
            }
        } else if let Some(outcome) = wait.park() {
            return outcome;
        }
    }
}

impl Wait<'_> {
    /// The dispatchers whose handlers this thread may run now.
    fn mine(&self) -> impl Iterator<Item = &Arc<Dispatcher>> {
        self.dispatchers
            .iter()
            .filter(|dispatcher| dispatcher.is_mine())
    }

    /// Serves up to `BATCH` calls of the chain at each dispatcher. Returns whether there were any.
    fn serve(&mut self) -> bool {
        let Wait {
            target,
            ticket,
            chain,
            dispatchers,
            reported,
        } = self;
        let mut found = false;
        for dispatcher in dispatchers.iter().filter(|dispatcher| dispatcher.is_mine()) {
            let mut left = BATCH;
            while left > 0
                && !target.to.link.is_answered(*ticket)
                && dispatcher.serve_chain(*chain, || reported.over())
            {
                (found, left) = (true, left - 1);
            }
        }
        found
    }

    /// Answers the broker's record. `found` says whether the look after it has served a call. Returns the outcome
    /// of the wait, if there is one.
    #[cold]
    fn answer(&mut self, word: Word, found: bool) -> Option<Result<()>> {
        let outcome = ended(self.target, self.ticket);
        match word {
            _ if outcome.is_some() => outcome,
            Word::Deadlock(error) => Some(Err(error)),
            Word::Confirm(_) if found => None,
            Word::Confirm(round) => {
                self.reported.confirm(round);
                None
            }
        }
    }

    /// Waits awake. Returns `false` when it is time to sleep.
    fn stay_awake(&mut self) -> bool {
        let deadline = self.target.to.deadline;
        // Late answers have deadlines, which are only looked at before parking.
        let until = match self.settle() {
            Some(_) => deadline.min(clock::now() + LATE_LOOK),
            None => deadline,
        };
        let backoff = &self.target.by.backoff;
        if !backoff.never_sleeps() {
            return backoff.stay_awake(until, || self.is_over());
        }
        let told = self.reported.until(clock::now());
        let until_told = || {
            together::ring_before_wait();
            until.min(told)
        };
        let is_over = backoff.stay_awake_until(until_told, || self.is_over());
        self.tell(clock::now());
        is_over || told < until
    }

    /// Tells the broker about the wait, if it has lasted.
    fn tell(&mut self, now: u64) {
        let (target, ticket) = (self.target, self.ticket);
        let whose = (target.by, target.to.link);
        self.reported
            .tell(now, || lasting::answer(whose, ticket, chain::current()));
    }

    /// Publishes late answers. Returns the deadline of the next one.
    fn settle(&self) -> Option<u64> {
        self.mine()
            .filter_map(|dispatcher| dispatcher.settle())
            .min()
    }

    fn is_over(&self) -> bool {
        let link = self.target.to.link;
        link.ended(self.ticket).is_some()
            || self.target.is_cancelled()
            || self.reported.is_asked()
            || self
                .mine()
                .any(|dispatcher| dispatcher.may_have(self.chain))
    }

    /// Sleeps until there is something to do. Returns the outcome of the wait, if there is one.
    fn park(&mut self) -> Option<Result<()>> {
        together::ring_before_wait();
        let start = clock::now();
        let until = self.reported.until(start);
        let outcome = self.sleep(until);
        let now = clock::now();
        self.target.by.backoff.learn(now - start);
        if outcome.is_none() {
            self.tell(now);
        }
        outcome
    }

    /// Sleeps until there is something to do, or until `until`.
    fn sleep(&self, until: u64) -> Option<Result<()>> {
        let (target, ticket) = (self.target, self.ticket);
        let link = target.to.link;
        // Decided once: another thread may begin to pump meanwhile.
        let mine: Vec<_> = self.mine().collect();
        let bells: Vec<_> = mine.iter().map(|dispatcher| dispatcher.bells()).collect();
        let mut words: Vec<Awaited<'_>> = bells.iter().flat_map(|bells| bells.words()).collect();
        mine.iter().for_each(|dispatcher| dispatcher.begin_park());
        // Watched because calls of the chain may wait for the turn while another chain has it.
        let turn_locks = mine.iter().map(|dispatcher| dispatcher.turn_lock());
        let watches: Vec<_> = turn_locks.map(TurnLock::watch).collect();
        words.extend(watches.iter().map(Watch::word));
        // Before the look for calls.
        let each = mine.iter().zip(&bells);
        let rests: Vec<_> = each.map(|(one, bells)| one.rest_inside(bells)).collect();
        // From here on, space that is released rings a bell.
        let late = self.settle();
        let sleeper = link.word_sleeper(ticket);
        let seen = sleeper.seen(link.life());
        let outcome = ended(target, ticket);
        let has_news = || mine.iter().any(|one| one.may_have(self.chain));
        if outcome.is_none() && !has_news() {
            words.splice(..0, sleeper.words(link.life(), seen));
            words.extend(target.cancelled_word());
            words.extend(self.reported.word());
            let until = late.unwrap_or(until).min(until).min(target.to.deadline);
            let each = mine.iter().zip(rests);
            let _at_rest: Vec<_> = each.map(|(one, rest)| one.sleep_at(rest)).collect();
            futex::wait_any_of(&words, until);
        }
        drop((sleeper, watches));
        mine.iter().for_each(|dispatcher| dispatcher.end_park());
        outcome
    }
}
