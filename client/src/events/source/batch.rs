//! Sending many events: up to 64 of them under one lock and with one fence.

use std::sync::atomic::Ordering;

use callgate_layout::events::Ahead;

use super::event::{Encoded, Event, not_offered};
use super::sending::ARCHIVE;
use super::{Convert, Source, most_archive};
use crate::base::archive::ALIGNMENT;
use crate::base::buffers::{KEEP, Scratch, no_memory};
use crate::base::error::{Result, forked};

/// How many events are sent together at most.
const MOST: usize = 64;

/// From this event of a batch on, the ring's cache lines are claimed ahead. The lines for the first events were
/// claimed when the events before them were written.
const CLAIMED_FROM: usize = 4;

/// Events that are archived and not sent yet.
struct Batch {
    bytes: Scratch,
    /// Where each archive begins and ends in `bytes`.
    places: [(usize, usize); MOST],
    count: usize,
    /// The part of the ring where they will be written, if there are more than a few.
    ahead: Option<Ahead>,
}

impl Batch {
    fn new() -> Result<Batch> {
        let mut bytes = Scratch::take();
        bytes.renew(KEEP).map_err(|why| no_memory(why, "events"))?;
        Ok(Batch {
            bytes,
            places: [(0, 0); MOST],
            count: 0,
            ahead: None,
        })
    }

    /// Archives an event behind the others. Returns `false` if it does not fit there, or takes more than `most`
    /// bytes.
    fn add(&mut self, event: &impl Event, most: usize) -> bool {
        let end = self
            .count
            .checked_sub(1)
            .map_or(0, |last| self.places[last].1);
        let begin = end.next_multiple_of(ALIGNMENT);
        let room = self.bytes.get_mut(begin..).unwrap_or_default();
        let most = most.min(room.len());
        let Some(len) = event.archive_into(&mut room[..most]) else {
            return false;
        };
        self.places[self.count] = (begin, begin + len);
        self.count += 1;
        if let Some(ahead) = &mut self.ahead {
            ahead.claim(len);
        }
        true
    }

    /// From here on, claims the cache lines of the ring while events are archived.
    #[cold]
    fn claim_from(&mut self, ahead: Option<Ahead>) {
        self.ahead = ahead;
        if let Some(ahead) = &mut self.ahead {
            let places = &self.places[..self.count];
            places
                .iter()
                .for_each(|(begin, end)| ahead.claim(end - begin));
        }
    }

    fn archive(&self, at: usize) -> &[u8] {
        let (begin, end) = self.places[at];
        &self.bytes[begin..end]
    }
}

/// An event of which only the archive is left.
struct Archived<'a> {
    archive: &'a [u8],
    convert: Option<Convert>,
}

impl Event for Archived<'_> {
    fn with_archive<R>(&self, _: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Ok(then(self.archive))
    }

    fn archive_into(&self, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()> {
        let convert = self.convert.ok_or_else(|| not_offered("JSON"))?;
        convert(self.archive, out, most)
    }
}

impl Source {
    /// Sends events one after the other. Returns how many were sent, and the error of the next one if there was
    /// one.
    pub(crate) fn send_all<V: Event>(
        &self,
        events: impl Iterator<Item = V>,
    ) -> (usize, Result<()>) {
        let mut sent = 0;
        let outcome = self.send_batches(events, &mut sent);
        (sent, outcome)
    }

    fn send_batches<V: Event>(
        &self,
        events: impl Iterator<Item = V>,
        sent: &mut usize,
    ) -> Result<()> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        let mut batch = None;
        for event in events {
            if self.wanted.load(Ordering::Acquire) == ARCHIVE {
                let batch = match &mut batch {
                    Some(batch) => batch,
                    None => batch.insert(Batch::new()?),
                };
                if batch.count == MOST {
                    self.send_batch(batch, sent)?;
                }
                if batch.add(&event, most_archive(self.settings.capacity)) {
                    if batch.count == CLAIMED_FROM {
                        batch.claim_from(self.ahead());
                    }
                    continue;
                }
            }
            if let Some(batch) = &mut batch {
                self.send_batch(batch, sent)?;
            }
            self.send(&event)?;
            *sent += 1;
        }
        batch.map_or(Ok(()), |mut batch| self.send_batch(&mut batch, sent))
    }

    /// The place where the next events will be written; in the newest membership's ring if there are several.
    fn ahead(&self) -> Option<Ahead> {
        let sending = self.sending.lock();
        sending.rings.last().map(|ring| ring.writer.ahead())
    }

    /// Sends the events of a batch, and empties it.
    fn send_batch(&self, batch: &mut Batch, sent: &mut usize) -> Result<()> {
        let count = std::mem::take(&mut batch.count);
        batch.ahead = None;
        let event = |at| Encoded {
            archive: Some(batch.archive(at)),
            json: None,
        };
        let mut put = 0;
        let outcome = self.put(count, event, &mut put);
        *sent += put;
        outcome?;
        // A listener that needs JSON has come meanwhile: the rest is sent one by one.
        for at in put..count {
            self.send(&Archived {
                archive: batch.archive(at),
                convert: self.convert,
            })?;
            *sent += 1;
        }
        Ok(())
    }
}
