//! The limit: entries in a ring, and nothing around them. An entry is a number and 64 bytes; the number is its position, plus
//! one, and is stored last. A listener looks at the number of the entry that it expects, and stores its position into a
//! line of its own; the sender reads those only when what it knew of them is used up.
//!
//! An entry takes 72 bytes, or two lines. Which is faster depends on the machine; the faster counts in each round.
//!
//! The limit's listener looks all the time. The line at which it looks is the one that the sender is about to write, which has to
//! fetch it back: `limit-patient` pauses for a microsecond when it has found nothing. An event takes less than half the time
//! then, where they follow each other; but a single one may come that much later.
//!
//! Where listeners sleep, they do so on one word, and the sender always wakes it: a bare futex wake. Where the oldest
//! events are dropped, the sender reads no positions; it spoils an entry's number before it writes the entry, and a
//! listener looks at the number again after it has copied the entry.

use std::any::Any;
use std::fs::File;
use std::hint::spin_loop;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{BATCH, Bus, Events, Listener, Looking, Sender, Tally};
use crate::Result;
use crate::payload::{self, Small};
use crate::raw::{self, Words};
use crate::systems::Setup;

/// Entries of the ring.
const ENTRIES: u64 = 4096;
/// From one listener's position to the next one's, in words.
const APART: usize = 32;
/// Where the positions lie, behind the sender's; and where the entries begin.
const POSITIONS: usize = APART;
const RING: usize = POSITIONS + 100 * APART;

/// Pauses of the patient listener when it has found nothing: about a microsecond.
const PAUSES: u32 = 64;

/// The ring, with entries so many words apart.
pub(super) struct Limit {
    name: &'static str,
    id: &'static str,
    stride: usize,
    pauses: u32,
}

impl Limit {
    pub(super) const ALL: [Limit; 4] = [
        Limit::new("limit", "limit-packed", 9, 0),
        Limit::new("limit", "limit-lines", 16, 0),
        Limit::new("limit-patient", "limit-patient-packed", 9, PAUSES),
        Limit::new("limit-patient", "limit-patient-lines", 16, PAUSES),
    ];

    const fn new(name: &'static str, id: &'static str, stride: usize, pauses: u32) -> Limit {
        Limit {
            name,
            id,
            stride,
            pauses,
        }
    }

    fn ring(&self, setup: &Setup) -> Result<Ring> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(setup.place.join("limit"))?;
        Ok(Ring {
            words: Words::map(file.into())?,
            stride: self.stride,
        })
    }
}

impl Bus for Limit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> &'static str {
        self.id
    }

    fn takes_part(&self, events: Events) -> bool {
        self.pauses == 0 || matches!(events, Events::Stream | Events::Batch)
    }

    fn host(&self, setup: &Setup, _: Events) -> Result<Box<dyn Any>> {
        let memory = raw::memory(RING + ENTRIES as usize * self.stride)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
        symlink(path, setup.place.join("limit"))?;
        Ok(Box::new(memory))
    }

    fn listener(
        &self,
        setup: &Setup,
        events: Events,
        nth: usize,
        _: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>> {
        Ok(Box::new(Reader {
            ring: self.ring(setup)?,
            events,
            nth,
            position: 0,
            pauses: self.pauses,
            looking: Looking::new(events),
        }))
    }

    fn sender(&self, setup: &Setup, events: Events, _: &mut dyn Any) -> Result<Box<dyn Sender>> {
        Ok(Box::new(Writer {
            ring: self.ring(setup)?,
            events,
            position: 0,
            slowest: 0,
        }))
    }
}

struct Ring {
    words: Words,
    stride: usize,
}

impl Ring {
    #[inline]
    fn entry(&self, position: u64) -> &[AtomicU64] {
        let first = RING + (position % ENTRIES) as usize * self.stride;
        &self.words.wide()[first..first + 9]
    }

    fn head(&self) -> &AtomicU64 {
        &self.words.wide()[0]
    }

    #[inline]
    fn position(&self, nth: usize) -> &AtomicU64 {
        &self.words.wide()[POSITIONS + nth * APART]
    }

    fn bell(&self) -> &AtomicU32 {
        self.words.word(0, 0)
    }
}

struct Writer {
    ring: Ring,
    events: Events,
    position: u64,
    /// The slowest listener's position when it was looked at.
    slowest: u64,
}

impl Writer {
    /// Writes an entry that nobody takes for one yet.
    #[inline]
    fn fill(&self, position: u64, number: u64) {
        let [number_word, words @ ..] = self.ring.entry(position) else {
            return;
        };
        if self.events.drops_the_oldest() {
            number_word.store(0, Ordering::Relaxed);
            fence(Ordering::Release);
        }
        for (word, value) in words.iter().zip(payload::request(number)) {
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn publish(&self, position: u64) {
        self.ring.entry(position)[0].store(position + 1, Ordering::Release);
    }

    /// Waits until there is room for so many.
    #[inline]
    fn make_room(&mut self, count: u64) {
        while !self.events.drops_the_oldest() && self.position + count - self.slowest > ENTRIES {
            self.look();
        }
    }

    #[cold]
    fn look(&mut self) {
        let positions = (0..self.events.listeners()).map(|nth| self.ring.position(nth));
        let positions = positions.map(|position| position.load(Ordering::Acquire));
        self.slowest = positions.min().unwrap_or(0);
    }

    #[inline]
    fn finish(&self) {
        if self.events.drops_the_oldest() {
            self.ring.head().store(self.position, Ordering::Release);
        }
        if self.events.is_asleep() {
            self.ring.bell().fetch_add(1, Ordering::SeqCst);
            raw::wake(self.ring.bell());
        }
    }
}

impl Sender for Writer {
    fn send(&mut self, numbers: Range<u64>) -> Result<()> {
        for number in numbers {
            self.make_room(1);
            self.fill(self.position, number);
            self.publish(self.position);
            self.position += 1;
            self.finish();
        }
        Ok(())
    }

    /// The first entry of a batch is published last: until then the listener waits at it.
    fn send_batches(&mut self, numbers: Range<u64>) -> Result<()> {
        for first in numbers.clone().step_by(BATCH) {
            let count = (numbers.end - first).min(BATCH as u64);
            self.make_room(count);
            self.fill(self.position, first);
            for nth in 1..count {
                self.fill(self.position + nth, first + nth);
                self.publish(self.position + nth);
            }
            self.publish(self.position);
            self.position += count;
            self.finish();
        }
        Ok(())
    }
}

struct Reader {
    ring: Ring,
    events: Events,
    nth: usize,
    position: u64,
    pauses: u32,
    looking: Looking,
}

impl Reader {
    /// Takes the next event, if there is one. The numbers of those that are gone follow from its own.
    #[inline]
    fn take(&mut self) -> Option<Small> {
        let (number_word, words) = self.ring.entry(self.position).split_first()?;
        let number = number_word.load(Ordering::Acquire);
        if number != self.position + 1 {
            if self.events.drops_the_oldest() && number > self.position {
                self.position = self.ring.head().load(Ordering::Acquire) - 1;
            }
            return None;
        }
        let event = std::array::from_fn(|at| words[at].load(Ordering::Relaxed));
        if self.events.drops_the_oldest() {
            fence(Ordering::Acquire);
            if number_word.load(Ordering::Relaxed) != number {
                return None;
            }
        }
        self.position = number;
        Some(event)
    }

    fn wait(&mut self, bell: u32) {
        match self.events.is_asleep() {
            true => raw::wait(self.ring.bell(), bell),
            false => {
                self.looking.in_vain();
                (0..self.pauses).for_each(|_| spin_loop());
            }
        }
    }
}

impl Listener for Reader {
    fn listen(&mut self, tally: &Tally) -> Result<()> {
        loop {
            let bell = match self.events.is_asleep() {
                true => self.ring.bell().load(Ordering::SeqCst),
                false => 0,
            };
            let Some(event) = self.take() else {
                self.wait(bell);
                continue;
            };
            let is_last = tally.take(&event);
            let handled = self.ring.position(self.nth);
            handled.store(self.position, Ordering::Release);
            if is_last {
                return Ok(());
            }
        }
    }
}
