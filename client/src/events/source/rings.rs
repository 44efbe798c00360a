//! What comes and goes at a source: places in memberships, rings, listeners, and its end.

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

/// How often a history is read back that has grown while it was converted.
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
    /// The number of the event that lies there, or is next.
    pub(crate) number: u64,
}

impl Source {
    /// The source has a place in one membership more.
    pub(crate) fn place(&self, of: u64, word: TopicWord) {
        let word = Arc::new(word);
        let mut sending = self.sending.lock();
        sending.placements.push(Placement { of, word });
    }

    /// The source leaves a membership: its rings there end.
    pub(crate) fn leave(&self, of: u64) {
        self.change(|sending| {
            let rings = &mut sending.rings;
            let ended: Vec<Ring> = rings.extract_if(.., |ring| ring.key.of == of).collect();
            close(sending, ended);
            sending.placements.retain(|placement| placement.of != of);
        });
    }

    /// Nothing is sent any more: sending fails with this.
    pub(crate) fn end(&self, reason: &Error) {
        self.change(|sending| {
            sending.ended.get_or_insert_with(|| reason.clone());
            let ended = std::mem::take(&mut sending.rings);
            close(sending, ended);
            sending.placements.clear();
        });
    }

    /// When the source ends, nothing is said of it in its rings, as if the plugin were killed: listeners are told by the broker, which
    /// knows why.
    pub(crate) fn leave_the_end_to_the_broker(&self) {
        self.sending.lock().ends_unsaid = true;
    }

    /// Takes a ring away that nobody reads any more. Nothing is said in it: its listeners are told by the broker why their feeds have
    /// ended. Whoever sleeps at the other ring stays armed: both have one topic word.
    pub(crate) fn drop_ring(&self, key: RingKey) {
        self.change(|sending| {
            sending.rings.retain(|ring| ring.key != key);
            // Who waits for room in it waits in vain.
            if let Some(word) = sending.word(key.of) {
                word.wake();
            }
        });
    }

    /// Takes in a ring that the broker has asked for.
    ///
    /// # Errors
    ///
    /// `CLOSED` where the source has ended, or has left that membership.
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
                // More is sent than can be converted.
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
        // Older memberships have lower numbers.
        let place = sending
            .rings
            .partition_point(|other| other.key.of <= key.of);
        sending.rings.insert(place, ring);
        self.tell_wanted(&sending);
        Ok(())
    }

    /// Notes a listener. Where it begins: behind the last event, less the history. `None` where the ring has ended.
    pub(crate) fn listen(&self, key: RingKey, by: Listening) -> Option<Start> {
        let mut sending = self.sending.lock();
        let ring = sending.ring(key)?;
        let (position, number) = ring.writer.last(u64::from(self.settings().history));
        ring.listeners.add(by, position);
        Some(Start { position, number })
    }

    /// A feed has ended: nobody waits for it any more.
    pub(crate) fn unlisten(&self, key: RingKey, feed: u64) {
        let mut sending = self.sending.lock();
        let removed = sending
            .ring(key)
            .is_some_and(|ring| ring.listeners.remove(feed));
        if removed && let Some(word) = sending.word(key.of) {
            word.wake();
        }
    }

    /// The process of a plugin has ended: nobody waits for it any more.
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

    /// Whether anybody listens in a membership: looks at the cursors for those who have left. A history that no later
    /// membership has yet is kept for those who come.
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

    /// Changes what there is, and tells those who are about to send, or wait.
    fn change(&self, change: impl FnOnce(&mut Sending)) {
        let mut sending = self.sending.lock();
        change(&mut sending);
        self.tell_wanted(&sending);
    }

    fn tell_wanted(&self, sending: &Sending) {
        // A thread that sends after it has heard of a listener sees that.
        self.wanted.store(sending.wanted(), Ordering::Release);
    }
}

/// Says in all rings of memberships that nothing follows, and wakes who waits for that, on both sides.
fn close(sending: &Sending, ended: Vec<Ring>) {
    for ring in ended {
        if !sending.ends_unsaid {
            ring.writer.close();
        }
        let Some(word) = sending.word(ring.key.of) else {
            continue;
        };
        // Who sleeps is looked at after this.
        word.disarm();
        let mut sleepers = Vec::new();
        ring.listeners.sleepers(&mut sleepers);
        listeners::wake(sleepers);
        word.wake();
    }
}
