//! One plugin as the sender of one topic: its rings, and who listens to them. It outlives brokers.
//!
//! What is sent is written once, whoever listens. Without a listener and without a history there is no ring, and sending is
//! two loads. Otherwise it costs, besides writing the event itself: an uncontended lock, a coarse clock, for each
//! ring a copy and two stores, and a fence. Once for each sixteenth of a ring, the cursors of its listeners are read.
//!
//! Who waits for room or for listeners does not hold the lock ([`waiting`]).

mod batch;
pub(crate) mod event;
mod flush;
mod past;
mod ring;
mod rings;
mod sending;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callgate_layout::buffer::Buffer;
use callgate_layout::clock;
use callgate_layout::events::{Kind, TWIN_FACTOR, most_payload};
use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use self::event::{Encoded, Event};
pub(crate) use self::ring::RingKey;
pub(crate) use self::rings::{NewRing, Start};
use self::sending::{ARCHIVE, ENDED, JSON, Sending, Stop};
use super::inside::Inside;
use super::listeners;
use crate::base::buffers::{Scratch, no_memory};
use crate::base::error::{Error, Result, forked};

/// How a topic is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Bytes of records that a ring of archives holds.
    pub(crate) capacity: u32,
    /// How many of the last events a new listener is shown first.
    pub(crate) history: u32,
    /// Whether it waits for those who listen too slowly.
    pub(crate) lossless: bool,
    /// Whether listeners have budgets; else nothing but the next limits how long they hold it up.
    pub(crate) budgets: bool,
    /// How long an event waits at most.
    pub(crate) send_timeout: Duration,
}

/// Makes JSON of an archive of a source's events, in at most so many bytes.
pub(crate) type Convert = fn(&[u8], &mut Buffer, usize) -> Result<()>;

/// The longest archive of an event.
fn most_archive(capacity: u32) -> usize {
    most_payload(u64::from(capacity))
}

/// The longest JSON of one.
fn most_json(capacity: u32) -> usize {
    most_payload(u64::from(capacity) * u64::from(TWIN_FACTOR))
}

/// What [`Source::new`] takes.
pub(crate) struct SourceParts {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    /// A number drawn at random.
    pub(crate) incarnation: u64,
    /// For the history, where both encodings are written.
    pub(crate) convert: Option<Convert>,
    pub(crate) inside: Box<dyn Inside>,
}

/// The sender of one topic.
#[derive(Debug)]
pub(crate) struct Source {
    name: Arc<str>,
    settings: Settings,
    /// Drawn at random; the same across brokers.
    incarnation: u64,
    /// For its history, where it writes both encodings.
    convert: Option<Convert>,
    /// Who stands still because of handlers on this thread's stack is not waited for.
    inside: Box<dyn Inside>,
    /// In which encodings events are wanted: a copy of what is behind the lock, for those who are about to send.
    wanted: AtomicU32,
    sending: Mutex<Sending>,
    fork: ForkMark,
}

impl Source {
    pub(crate) fn new(parts: SourceParts) -> Source {
        Source {
            name: parts.name,
            settings: parts.settings,
            incarnation: parts.incarnation,
            convert: parts.convert,
            inside: parts.inside,
            wanted: AtomicU32::new(0),
            sending: Mutex::default(),
            fork: ForkMark::here(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// How many feeds there are on it.
    pub(crate) fn listeners(&self) -> usize {
        // In a forked child another thread may have held the lock.
        if !self.fork.is_here() {
            return 0;
        }
        let sending = self.sending.lock();
        // While a plugin goes from one broker to the next, it may listen at both.
        let at = |of| {
            let rings = sending.rings.iter().filter(|ring| ring.key.of == of);
            rings.map(|ring| ring.listeners.len()).sum()
        };
        let counts = sending.placements.iter().map(|placement| at(placement.of));
        counts.max().unwrap_or(0)
    }

    /// Sends an event to whoever listens.
    #[inline(always)]
    pub(crate) fn send(&self, event: &impl Event) -> Result<()> {
        // The lock orders everything; a listener from which this thread has heard that it listens was noted before.
        let wanted = self.wanted.load(Ordering::Acquire);
        match wanted == 0 && self.fork.is_here() {
            true => Ok(()),
            false => self.send_wanted(event, wanted),
        }
    }

    fn send_wanted(&self, event: &impl Event, wanted: u32) -> Result<()> {
        self.check(wanted)?;
        if wanted == ARCHIVE {
            let most = most_archive(self.settings.capacity);
            let put = |archive: &[u8]| self.put_one(Some(archive), None);
            if event.with_archive(most, put)?? {
                return Ok(());
            }
        }
        self.send_encoded(event)
    }

    /// Sends an event in all encodings that are wanted, of which there may be more by the time it is written.
    #[cold]
    fn send_encoded(&self, event: &impl Event) -> Result<()> {
        loop {
            let wanted = self.wanted.load(Ordering::Acquire);
            self.check(wanted)?;
            if wanted == 0 || self.send_in(event, wanted)? {
                return Ok(());
            }
        }
    }

    fn check(&self, wanted: u32) -> Result<()> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        match wanted & ENDED {
            0 => Ok(()),
            _ => Err(self.why_ended()),
        }
    }

    #[cold]
    fn why_ended(&self) -> Error {
        let ended = self.sending.lock().ended.clone();
        // It does not begin again.
        ended.unwrap_or_else(forked)
    }

    /// Writes an event in these encodings; false where it is wanted in others.
    fn send_in(&self, event: &impl Event, wanted: u32) -> Result<bool> {
        let mut text = Scratch::take();
        let json = match wanted & JSON {
            0 => None,
            _ => Some(self.write_json(event, &mut text, wanted)?),
        };
        let json = json.map(|kind| (kind, &text[..]));
        if wanted & ARCHIVE == 0 {
            return self.put_one(None, json);
        }
        let most = most_archive(self.settings.capacity);
        event.with_archive(most, |archive| self.put_one(Some(archive), json))?
    }

    /// Writes an event as JSON, or why it has none: that is what its listeners who need JSON are told.
    fn write_json(&self, event: &impl Event, text: &mut Scratch, wanted: u32) -> Result<Kind> {
        let most = most_json(self.settings.capacity);
        let Err(why) = event.write_json(text, most) else {
            return Ok(Kind::Event);
        };
        if self.convert.is_none() && wanted & ARCHIVE == 0 {
            // There is no other way to say it.
            return Err(why);
        }
        text.clear();
        let room = text.extend(why.message().as_bytes());
        room.map(|()| Kind::Unfit)
            .map_err(|why| no_memory(why, "event"))
    }

    /// Writes one event; false where it has to be encoded in another way as well.
    #[inline]
    fn put_one(&self, archive: Option<&[u8]>, json: Option<(Kind, &[u8])>) -> Result<bool> {
        let mut put = 0;
        self.put(1, |_| Encoded { archive, json }, &mut put)?;
        Ok(put == 1)
    }

    /// Writes so many events one after the other, and wakes who sleeps. Counts how many were written: fewer where some have to be
    /// encoded in another way as well.
    #[inline]
    fn put<'a>(
        &self,
        count: usize,
        event: impl Fn(usize) -> Encoded<'a>,
        put: &mut usize,
    ) -> Result<()> {
        let mut wait = None;
        let mut lossless = self.settings.lossless;
        let mut sending = self.sending.lock();
        let time = clock::coarse_wall();
        while *put < count {
            if let Some(ended) = &sending.ended {
                return Err(ended.clone());
            }
            match sending.write(&event(*put), time, lossless) {
                Ok(()) => *put += 1,
                Err(Stop::Missing) => break,
                Err(Stop::Blocked(key, len)) => {
                    // It may be that alone.
                    sending.publish();
                    let wait = wait.get_or_insert_with(|| self.begin_wait());
                    lossless = lossless && wait.is_left();
                    if lossless {
                        sending = self.await_room(sending, (key, len), wait);
                    }
                }
            }
        }
        sending.publish();
        let sleepers = sending.sleepers();
        drop(sending);
        if !sleepers.is_empty() {
            listeners::wake(sleepers);
        }
        Ok(())
    }
}
