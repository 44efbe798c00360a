//! Waiting for room: a sending thread waits for listeners, until their budgets or the event's time are used up.
//!
//! The order of steps is that of `layout::events`: the thread reads *room* of its topic word, counts itself in
//! `starving`, fences, looks at the cursors, and sleeps while *room* has the value that was read.

use std::sync::Arc;

use callgate_layout::clock;
use callgate_layout::sys::futex;
use parking_lot::MutexGuard;

use super::Source;
use super::ring::RingKey;
use super::sending::Sending;
use crate::base::debug;
use crate::events::inside::Waiting;
use crate::events::listeners;
use crate::events::peers::Peer;
use crate::link::together;

/// After how many nanoseconds a waiting thread looks at the cursors by itself: listeners announce only larger
/// pieces of room, so one that handles few events in that time does not wake it.
pub(super) const LOOK_EVERY: u64 = 1_000_000;

/// The wait of one event, or of one batch.
pub(super) struct Wait {
    /// The end of the wait, in nanoseconds of the monotonic clock.
    until: u64,
    /// Whether all listeners that are in the way cannot go on before this thread does.
    is_in_vain: bool,
    /// Tells the broker for whom this thread waits, inside a handler.
    waiting: Waiting,
    /// Listeners of which the broker has found that they wait for something that this thread keeps.
    given_up: Vec<Arc<Peer>>,
}

impl Wait {
    fn has_given_up(&self, peer: &Peer) -> bool {
        let mut all = self.given_up.iter();
        all.any(|other| std::ptr::eq(&**other, peer))
    }

    /// Whether there is time left, and the wait is not in vain.
    pub(super) fn is_left(&self) -> bool {
        !self.is_in_vain && clock::now() < self.until
    }
}

impl Source {
    /// Begins the wait of an event.
    #[cold]
    pub(super) fn begin_wait(&self) -> Wait {
        let timeout = self.settings.send_timeout.as_nanos();
        let nanos = u64::try_from(timeout).unwrap_or(u64::MAX);
        let until = match debug::is_on() {
            true => u64::MAX,
            false => clock::now().saturating_add(nanos),
        };
        Wait {
            until,
            is_in_vain: false,
            waiting: Waiting::begin(&*self.inside),
            given_up: Vec::new(),
        }
    }

    /// Waits once: until a listener that is in the way of a payload of this length has moved on, or budgets or time
    /// are used up. The caller then looks whether there is room.
    #[cold]
    pub(super) fn await_room<'a>(
        &'a self,
        mut sending: MutexGuard<'a, Sending>,
        (key, len): (RingKey, usize),
        wait: &mut Wait,
    ) -> MutexGuard<'a, Sending> {
        // Before the look at the cursors, so that the look can confirm the wait.
        let asked = wait.waiting.asked();
        wait.given_up
            .extend(asked.in_vain.as_ref().map(|(peer, _)| peer.clone()));
        let Some(word) = sending.word(key.of) else {
            return sending;
        };
        let Some(ring) = sending.ring(key) else {
            return sending;
        };
        let room = word.room();
        ring.writer.starve();
        let now = clock::now();
        let extent = ring.writer.extent();
        ring.listeners.look(extent, now);
        let needed = ring.writer.needed(len);
        let stands_still = |peer: &Peer| wait.has_given_up(peer) || self.inside.stands_still(peer);
        let waits_for = (ring.listeners).in_the_way(needed, (extent, now), stands_still);
        if waits_for.is_none() {
            // Either nobody is in the way any more, or only listeners that wait for this thread.
            wait.is_in_vain = waits_for.is_in_vain;
            ring.writer.sated();
            return sending;
        }
        // Only now that this thread certainly waits: finding the sleepers disarms the word, so they would not be
        // found again.
        let sleepers = sending.sleepers();
        drop(sending);
        listeners::wake(sleepers);
        together::ring_before_wait();
        wait.waiting.answer(&asked, waits_for.slowest());
        wait.waiting.tell(now, &self.name);
        let until = wait
            .until
            .min(now.saturating_add(waits_for.least.min(LOOK_EVERY)));
        let words = [Some(word.awaited(room)), wait.waiting.word()];
        let words: Vec<_> = words.into_iter().flatten().collect();
        futex::wait_any_of(&words, until);
        let mut sending = self.sending.lock();
        if let Some(ring) = sending.ring(key) {
            ring.writer.sated();
            ring.listeners.spend(&waits_for, now, clock::now());
        }
        sending
    }
}
