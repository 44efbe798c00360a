//! What changes at a source: its places in memberships, its rings and listeners, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_layout::view::WriteView;
use callgate_layout::{Code, Encoding, clock};

use super::past::Past;
use super::ring::{Ring, RingKey};
use super::sending::{Placement, Sending};
use super::{Source, most_json};
use crate::base::error::{Error, Result};
use crate::events::listeners::{self, Listeners, Listening};
use crate::events::peers::Peer;
use crate::link::topic_words::TopicWord;

/// How often the history is read back again because it has grown while it was converted.
const ROUNDS: u32 = 8;

/// A ring that the broker has asked for.
#[derive(Debug)]
pub(crate) struct NewRing {
    pub(crate) key: RingKey,
    pub(crate) encoding: Encoding,
    pub(crate) memory: WriteView,
}

/// Where a feed begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) position: u64,
    /// The number of the event at that position, or of the next event if there is none.
    pub(crate) number: u64,
}

impl Source {
    /// Adds a place in a membership.
    pub(crate) fn place(&self, of: u64, word: TopicWord) {
        let word = Arc::new(word);
        let mut sending = self.sending.lock();
        sending.placements.push(Placement { of, word });
    }

    /// Removes the place in a membership, and closes the rings there.
    pub(crate) fn leave(&self, of: u64) {
        self.change(|sending| {
            let rings = &mut sending.rings;
            let ended: Vec<Ring> = rings.extract_if(.., |ring| ring.key.of == of).collect();
            close(sending, ended);
            sending.placements.retain(|placement| placement.of != of);
        });
    }

    /// Ends the source: from now on sending fails with this error.
    pub(crate) fn end(&self, reason: &Error) {
        self.change(|sending| {
            sending.ended.get_or_insert_with(|| reason.clone());
            let ended = std::mem::take(&mut sending.rings);
            close(sending, ended);
            sending.placements.clear();
        });
    }

    /// Leaves the announcement of the source's end to the broker, which knows the reason: when the source ends, its
    /// rings are not marked as closed, as if the plugin had been killed.
    pub(crate) fn leave_the_end_to_the_broker(&self) {
        self.sending.lock().ends_unsaid = true;
    }

    /// Removes a ring that nobody reads any more. It is not marked as closed: the broker tells its listeners why
    /// their feeds have ended. The source stays armed for listeners that sleep at the other ring, because both
    /// rings have one topic word.
    pub(crate) fn drop_ring(&self, key: RingKey) {
        self.change(|sending| {
            sending.rings.retain(|ring| ring.key != key);
            // Threads that wait for room in it would wait in vain.
            if let Some(word) = sending.word(key.of) {
                word.wake();
            }
        });
    }

    /// Adds a ring that the broker has asked for.
    ///
    /// # Errors
    ///
    /// `CLOSED` if the source has ended, or has left that membership.
    pub(crate) fn add_ring(&self, new: NewRing) -> Result<()> {
        let NewRing {
            key,
            encoding,
            memory,
        } = new;
        let mut sending = self.sending.lock();
        let mut past = Past::default();
        for round in 0.. {
            let history = u64::from(self.settings.history);
            if history == 0 || !past.read(&sending, encoding, history) {
                break;
            }
            if round == ROUNDS {
                // Events are sent faster than they can be converted: the ring begins without history.
                past.clear();
                break;
            }
            drop(sending);
            past.convert(self.convert, most_json(self.settings.capacity));
            sending = self.sending.lock();
        }
        if sending.word(key.of).is_none() {
            let text = "this plugin sends on the topic no more";
            return Err(Error::new(Code::Closed, text));
        }
        let ring = Ring {
            key,
            encoding,
            writer: past.begin(memory, sending.next),
            listeners: Listeners::new(self.settings.budgets),
        };
        // Sorted by membership: older memberships have lower numbers.
        let place = sending
            .rings
            .partition_point(|other| other.key.of <= key.of);
        sending.rings.insert(place, ring);
        self.tell_wanted(&sending);
        Ok(())
    }

    /// Adds a listener. It begins after the last event, less the history. `None` if the ring has ended.
    pub(crate) fn listen(&self, key: RingKey, by: Listening) -> Option<Start> {
        let mut sending = self.sending.lock();
        let ring = sending.ring(key)?;
        let (position, number) = ring.writer.last(u64::from(self.settings().history));
        ring.listeners.add(by, position);
        Some(Start { position, number })
    }

    /// Removes a listener whose feed has ended, and wakes threads that wait for it.
    pub(crate) fn unlisten(&self, key: RingKey, feed: u64) {
        let mut sending = self.sending.lock();
        let removed = sending
            .ring(key)
            .is_some_and(|ring| ring.listeners.remove(feed));
        if removed && let Some(word) = sending.word(key.of) {
            word.wake();
        }
    }

    /// Removes the listeners of a plugin that has ended, and wakes threads that wait for them.
    pub(crate) fn peer_ended(&self, peer: &Arc<Peer>) {
        let mut sending = self.sending.lock();
        let rings = sending.rings.iter_mut();
        let lost = rings.filter_map(|ring| ring.listeners.remove_peer(peer).then_some(ring.key.of));
        for of in lost.collect::<Vec<_>>() {
            if let Some(word) = sending.word(of) {
                word.wake();
            }
        }
    }

    /// Whether anybody listens in a membership; reads the cursors, to find listeners that have left. A history is
    /// kept for listeners that may still come, as long as no later membership has a ring with it.
    pub(crate) fn is_heard(&self, of: u64) -> bool {
        let mut sending = self.sending.lock();
        let keeps_history = self.settings.history > 0;
        if keeps_history && sending.rings.last().is_some_and(|ring| ring.key.of == of) {
            return true;
        }
        let its = |ring: &&mut Ring| ring.key.of == of;
        sending.rings.iter_mut().filter(its).any(|ring| {
            ring.listeners.look(ring.writer.extent(), clock::now());
            !ring.listeners.is_empty()
        })
    }

    /// Changes the rings, and publishes the encodings that are wanted now to senders without the lock.
    fn change(&self, change: impl FnOnce(&mut Sending)) {
        let mut sending = self.sending.lock();
        change(&mut sending);
        self.tell_wanted(&sending);
    }

    fn tell_wanted(&self, sending: &Sending) {
        // A release: a thread that sends after it has learnt of a listener sees that it is wanted.
        self.wanted.store(sending.wanted(), Ordering::Release);
    }
}

/// Marks rings as closed, and wakes the listeners that sleep and the threads that wait for room.
fn close(sending: &Sending, ended: Vec<Ring>) {
    for ring in ended {
        if !sending.ends_unsaid {
            ring.writer.close();
        }
        let Some(word) = sending.word(ring.key.of) else {
            continue;
        };
        // Disarmed before the look at who sleeps, as after an event.
        word.disarm();
        let mut sleepers = Vec::new();
        ring.listeners.sleepers(&mut sleepers);
        listeners::wake(sleepers);
        word.wake();
    }
}
