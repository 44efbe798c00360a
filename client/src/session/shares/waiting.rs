//! Waiting on a thread until a word changes. Inside a handler the thread meanwhile serves the calls of its own
//! chain, as one that waits for a gate's answer does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::turns::Watch;

use crate::base::chain;
use crate::base::deadline::call_due;
use crate::base::due::TimeLimit;
use crate::base::error::Result;
use crate::base::futex_refused;
use crate::link::together;
use crate::serve::dispatcher::{Dispatcher, LATE_LOOK, serving_thread};
use crate::serve::lending;
use crate::serve::turn::TurnLock;

/// How many calls are served before the word is looked at again.
const BATCH: u32 = 16;

/// The end of a wait that begins now, in nanoseconds of the monotonic clock. As for a call: inside a handler it is
/// not later than the deadline of the call that the handler serves.
pub(crate) fn due(timeout: Duration) -> Result<u64> {
    call_due(TimeLimit::new(timeout))
}

/// Converts nanoseconds of the monotonic clock to an `Instant`.
pub(in crate::session) fn instant(until: u64) -> Instant {
    Instant::now() + Duration::from_nanos(until.saturating_sub(clock::now()))
}

/// Waits until `look` finds something; `None` if it does not by then. The word has to change with what `look` looks
/// at.
pub(in crate::session) fn wait<T>(
    word: &AtomicU32,
    until: u64,
    look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let words = || vec![Awaited::private(word, word.load(Ordering::Acquire))];
    wait_for(words, until, look)
}

/// As [`wait`], with several words; `words` reads them before each look.
pub(crate) fn wait_for<'w, T>(
    words: impl Fn() -> Vec<Awaited<'w>>,
    until: u64,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    if let Some(found) = look() {
        return Some(found);
    }
    together::ring_before_wait();
    let found = match chain::current() {
        Some(chain) => inside(words, (chain.id, until), look),
        None => outside(words, until, look),
    };
    futex_refused::log();
    found
}

fn outside<'w, T>(
    words: impl Fn() -> Vec<Awaited<'w>>,
    until: u64,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        let words = words();
        let found = look();
        if found.is_some() || clock::now() >= until {
            return found;
        }
        futex::wait_any_of(&words, until);
    }
}

fn inside<'w, T>(
    words: impl Fn() -> Vec<Awaited<'w>>,
    (chain, until): (u64, u64),
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    // Calls of this chain may run on other threads while this one waits.
    let _lent = lending::lend();
    let dispatchers = serving_thread::dispatchers().unwrap_or_default();
    loop {
        let words = words();
        let found = look();
        if found.is_some() || clock::now() >= until {
            return found;
        }
        if !serve(&dispatchers, chain) {
            sleep(&dispatchers, chain, (words, until));
        }
    }
}

/// The dispatchers whose handlers this thread may run now.
fn mine(dispatchers: &[Arc<Dispatcher>]) -> impl Iterator<Item = &Arc<Dispatcher>> {
    dispatchers.iter().filter(|dispatcher| dispatcher.is_mine())
}

/// Serves up to `BATCH` calls of a chain at each dispatcher. Returns whether there were any.
fn serve(dispatchers: &[Arc<Dispatcher>], chain: u64) -> bool {
    let mut found = false;
    for dispatcher in mine(dispatchers) {
        let mut left = BATCH;
        while left > 0 && dispatcher.serve_chain(chain, || {}) {
            (found, left) = (true, left - 1);
        }
    }
    found
}

/// Sleeps until there is something to do, or until the end of the wait.
fn sleep(dispatchers: &[Arc<Dispatcher>], chain: u64, (mut words, until): (Vec<Awaited<'_>>, u64)) {
    // Decided once: another thread may begin to pump meanwhile.
    let mine: Vec<_> = mine(dispatchers).collect();
    let bells: Vec<_> = mine.iter().map(|dispatcher| dispatcher.bells()).collect();
    words.extend(bells.iter().flat_map(|bells| bells.words()));
    mine.iter().for_each(|dispatcher| dispatcher.begin_park());
    // Watched because calls of the chain may wait for the turn while another chain has it.
    let turn_locks = mine.iter().map(|dispatcher| dispatcher.turn_lock());
    let watches: Vec<_> = turn_locks.map(TurnLock::watch).collect();
    words.extend(watches.iter().map(Watch::word));
    // Before the look for calls.
    let each = mine.iter().zip(&bells);
    let rests: Vec<_> = each.map(|(one, bells)| one.rest_inside(bells)).collect();
    // Late answers have deadlines, and no other thread publishes them meanwhile.
    let late = mine.iter().filter_map(|one| one.settle()).min();
    if !mine.iter().any(|one| one.may_have(chain)) {
        let until = late.map_or(until, |late| late.min(clock::now() + LATE_LOOK).min(until));
        let each = mine.iter().zip(rests);
        let _at_rest: Vec<_> = each.map(|(one, rest)| one.sleep_at(rest)).collect();
        futex::wait_any_of(&words, until);
    }
    drop(watches);
    mine.iter().for_each(|dispatcher| dispatcher.end_park());
}
