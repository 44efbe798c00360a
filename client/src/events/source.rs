//! A source: one plugin as the sender of one topic, with its rings and their listeners. It outlives brokers.
//!
//! An event is written once, however many plugins listen. Without a listener and without a history there is no
//! ring, and sending costs two loads. Otherwise it costs, besides writing the event itself: an uncontended lock, a
//! coarse clock, for each ring a copy and two stores, and a fence. Once for each sixteenth of a ring, the cursors
//! of its listeners are read.
//!
//! A thread that waits for room or for listeners does not hold the lock meanwhile ([`waiting`]).

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

/// The settings of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How many bytes of records a ring of archives holds.
    pub(crate) capacity: u32,
    /// How many of the last events a new listener is given first.
    pub(crate) history: u32,
    /// Whether an event waits for listeners that are too slow.
    pub(crate) lossless: bool,
    /// Whether listeners have budgets; otherwise only `send_timeout` limits how long they delay an event.
    pub(crate) budgets: bool,
    /// How long one event waits at most.
    pub(crate) send_timeout: Duration,
}

/// Rewrites an archived event as JSON; fails if that takes more than the given number of bytes.
pub(crate) type Convert = fn(&[u8], &mut Buffer, usize) -> Result<()>;

/// The greatest length of an event's archive, in bytes.
fn most_archive(capacity: u32) -> usize {
    most_payload(u64::from(capacity))
}

/// The greatest length of an event's JSON, in bytes.
fn most_json(capacity: u32) -> usize {
    most_payload(u64::from(capacity) * u64::from(TWIN_FACTOR))
}

/// Arguments of [`Source::new`].
pub(crate) struct SourceParts {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    /// A random number that names this source at every broker.
    pub(crate) incarnation: u64,
    /// Rewrites events of the history, if the source writes both encodings.
    pub(crate) convert: Option<Convert>,
    pub(crate) inside: Box<dyn Inside>,
}

/// The sender of one topic.
#[derive(Debug)]
pub(crate) struct Source {
    name: Arc<str>,
    settings: Settings,
    /// A random number that names this source at every broker.
    incarnation: u64,
    /// Rewrites events of the history, if the source writes both encodings.
    convert: Option<Convert>,
    /// Tells which listeners cannot go on before this thread does, because of handlers on its stack. Those are not
    /// waited for.
    inside: Box<dyn Inside>,
    /// The encodings in which events are wanted, or [`ENDED`]: a copy of what the lock guards, read by senders
    /// without the lock.
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

    /// How many feeds listen.
    pub(crate) fn listeners(&self) -> usize {
        // In a forked child the lock may be held by a thread that does not exist there.
        if !self.fork.is_here() {
            return 0;
        }
        let sending = self.sending.lock();
        // A plugin that goes from one broker to the next may listen at both, so the larger count is the true one.
        let at = |of| {
            let rings = sending.rings.iter().filter(|ring| ring.key.of == of);
            rings.map(|ring| ring.listeners.len()).sum()
        };
        let counts = sending.placements.iter().map(|placement| at(placement.of));
        counts.max().unwrap_or(0)
    }

    /// Sends an event to all listeners.
    #[inline(always)]
    pub(crate) fn send(&self, event: &impl Event) -> Result<()> {
        // An acquire is enough: a listener that this thread has learnt of was noted here before. All else is
        // ordered by the lock.
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

    /// Writes an event in all encodings that are wanted, and again if more were wanted by then.
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
        // A source that has ended does not begin again, so there is a reason.
        ended.unwrap_or_else(forked)
    }

    /// Writes an event in these encodings. Returns `false` if other encodings are wanted by now.
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

    /// Writes an event as JSON. If it cannot be, writes the reason instead, which is delivered to listeners that
    /// need JSON.
    fn write_json(&self, event: &impl Event, text: &mut Scratch, wanted: u32) -> Result<Kind> {
        let most = most_json(self.settings.capacity);
        let Err(why) = event.write_json(text, most) else {
            return Ok(Kind::Event);
        };
        if self.convert.is_none() && wanted & ARCHIVE == 0 {
            // Nobody gets the archive, so the error is the caller's.
            return Err(why);
        }
        text.clear();
        let room = text.extend(why.message().as_bytes());
        room.map(|()| Kind::Unfit)
            .map_err(|why| no_memory(why, "event"))
    }

    /// Writes one event. Returns `false` if it has to be encoded in another encoding as well.
    #[inline]
    fn put_one(&self, archive: Option<&[u8]>, json: Option<(Kind, &[u8])>) -> Result<bool> {
        let mut put = 0;
        self.put(1, |_| Encoded { archive, json }, &mut put)?;
        Ok(put == 1)
    }

    /// Writes `count` events one after the other, and wakes sleeping listeners. Adds the number written to `put`;
    /// that is fewer if an event has to be encoded in another encoding as well.
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
                    // The events that wait to be published may be what is in the way, so publish them first.
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
