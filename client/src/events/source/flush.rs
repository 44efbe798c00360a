//! Waiting until all listeners have handled what was sent.

use std::sync::Arc;

use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::{Code, clock};
use parking_lot::MutexGuard;

use super::Source;
use super::ring::RingKey;
use super::sending::Sending;
use super::waiting::LOOK_EVERY;
use crate::base::error::{Error, Result, forked};
use crate::events::inside::Waiting;
use crate::events::listeners::Behind;
use crate::events::peers::Peer;
use crate::link::together;
use crate::link::topic_words::TopicWord;

/// The position in one ring up to which listeners are waited for, and these listeners.
struct Goal {
    key: RingKey,
    head: u64,
    feeds: Vec<u64>,
    word: Arc<TopicWord>,
}

impl Source {
    /// Waits until each present listener has handled what was sent before, or has gone, or has been overtaken; at
    /// most until `until`, a time of the monotonic clock in nanoseconds.
    ///
    /// # Errors
    ///
    /// `TIMEOUT`, with the names of those that have not; `INVALID_ARGUMENT` at once if one of them cannot go on
    /// before this thread does; `DEADLOCK` if the broker finds that.
    pub(crate) fn flush(&self, until: u64) -> Result<()> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        let mut sending = self.sending.lock();
        let goals = goals(&sending);
        let mut waiting = Waiting::begin(&*self.inside);
        loop {
            // Before the look at the cursors, so that the look can confirm the wait.
            let asked = waiting.asked();
            let rooms: Vec<u32> = goals.iter().map(|goal| goal.word.room()).collect();
            let behind = begin(&mut sending, &goals);
            if let Some(outcome) = self.outcome(&behind, asked.in_vain.as_ref(), until) {
                end(&mut sending, &goals);
                drop(sending);
                return outcome;
            }
            drop(sending);
            together::ring_before_wait();
            let mut dispatched = behind.iter().filter(|behind| !behind.pulled);
            waiting.answer(&asked, dispatched.next().map(|behind| &behind.peer));
            waiting.tell(clock::now(), &self.name);
            let words = goals.iter().zip(&rooms);
            let words = words.map(|(goal, room)| goal.word.awaited(*room));
            let words: Vec<Awaited<'_>> = words.chain(waiting.word()).collect();
            futex::wait_any_of(&words, until.min(clock::now().saturating_add(LOOK_EVERY)));
            sending = self.sending.lock();
            end(&mut sending, &goals);
        }
    }

    /// The outcome of the wait, if this look at the cursors ends it.
    fn outcome(
        &self,
        behind: &[Behind],
        in_vain: Option<&(Arc<Peer>, Error)>,
        until: u64,
    ) -> Option<Result<()>> {
        let is_behind = |peer: &Arc<Peer>| behind.iter().any(|one| Arc::ptr_eq(&one.peer, peer));
        let mut all = behind.iter();
        if let Some(stuck) = all.find(|behind| self.inside.stands_still(&behind.peer)) {
            return Some(Err(self.in_vain(&stuck.peer)));
        }
        match in_vain {
            _ if behind.is_empty() => Some(Ok(())),
            Some((peer, why)) if is_behind(peer) => {
                Some(Err(why.clone().at_gate(self.name().clone())))
            }
            _ => (clock::now() >= until).then(|| Err(self.not_handled(behind))),
        }
    }

    fn in_vain(&self, peer: &Peer) -> Error {
        let text = format!(
            "the plugin `{}` listens, and its handlers cannot run before the one on this thread has returned",
            peer.who.name()
        );
        Error::new(Code::InvalidArgument, text).at_gate(self.name().clone())
    }

    fn not_handled(&self, behind: &[Behind]) -> Error {
        let names = behind.iter().map(|behind| behind.peer.who.name());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join("`, `");
        let text = format!(
            "not everybody had handled what was sent when the time was up: `{names}`; they may do so later"
        );
        Error::new(Code::Timeout, text).at_gate(self.name().clone())
    }
}

fn goals(sending: &Sending) -> Vec<Goal> {
    let rings = sending.rings.iter();
    let goals = rings.filter_map(|ring| {
        Some(Goal {
            key: ring.key,
            head: ring.writer.head(),
            feeds: ring.listeners.feeds(),
            word: sending.word(ring.key.of)?,
        })
    });
    goals.collect()
}

/// Announces that this thread waits for cursors, and reads them. Returns the listeners that are not at their goal.
fn begin(sending: &mut MutexGuard<'_, Sending>, goals: &[Goal]) -> Vec<Behind> {
    let mut behind = Vec::new();
    for goal in goals {
        if let Some(ring) = sending.ring(goal.key) {
            ring.writer.starve();
            let extent = ring.writer.extent();
            ring.listeners.look(extent, clock::now());
            behind.extend(ring.listeners.behind(&goal.feeds, goal.head, extent.oldest));
        }
    }
    behind
}

fn end(sending: &mut MutexGuard<'_, Sending>, goals: &[Goal]) {
    for goal in goals {
        if let Some(ring) = sending.ring(goal.key) {
            ring.writer.sated();
        }
    }
}
