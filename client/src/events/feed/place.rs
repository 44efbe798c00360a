//! A feed's place in one ring of its source, and its cursor in this plugin's status page.

use std::sync::{Arc, OnceLock};

use callgate_layout::buffer::Buffer;
use callgate_layout::events::{Kind, RingReader, Taken, fence_all};
use callgate_layout::pages::Doorbell;
use callgate_layout::view::ReadView;
use callgate_layout::{Code, Encoding};

use super::wakes::SleepBells;
use crate::base::buffers::no_memory;
use crate::base::error::Error;
use crate::link::own_memory::OwnMemory;
use crate::link::peer::Caller;

/// A plugin that this one hears, in one membership.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) who: Arc<Caller>,
    /// What wakes its threads that wait for room.
    pub(crate) bell: Doorbell,
}

/// Why a place has nothing more to come, once that is known. The control thread says so.
#[derive(Debug, Default)]
pub(crate) struct End(OnceLock<Error>);

impl End {
    /// The first reason stands.
    pub(crate) fn set(&self, why: &Error) {
        let _ = self.0.set(why.clone());
    }
}

/// What a place is made of.
#[derive(Debug)]
pub(crate) struct PlaceParts {
    /// The membership's number.
    pub(crate) membership: u64,
    pub(crate) memory: Arc<OwnMemory>,
    /// Its line in the status page.
    pub(crate) cursor: u16,
    pub(crate) sender: Arc<Sender>,
    /// The source's topic word in the sender's doorbell page.
    pub(crate) word: u16,
    pub(crate) encoding: Encoding,
    /// Whether the source's types are others.
    pub(crate) is_converted: bool,
    pub(crate) end: Arc<End>,
}

#[derive(Debug)]
pub(crate) struct Place {
    parts: PlaceParts,
    reader: RingReader,
    start: u64,
}

/// What a look at a ring has found.
pub(super) enum Read {
    Nothing,
    /// A record, which is in the buffer.
    Record(Record),
    /// Records were overwritten meanwhile: others are looked at before this ring is again.
    Later,
    /// What no correct source writes.
    Broken(String),
}

/// A record that was copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) time: u64,
    /// The source could not write it in this encoding; its bytes say why.
    pub(super) is_unwritable: bool,
}

impl Place {
    /// One that begins where the source has noted it; `None` where the ring is none.
    pub(crate) fn new(
        parts: PlaceParts,
        ring: ReadView,
        (position, number): (u64, u64),
    ) -> Option<Place> {
        let reader = RingReader::new(ring, position, number)?;
        parts.memory.status.set_cursor(parts.cursor, position, number);
        Some(Place {
            parts,
            reader,
            start: number,
        })
    }

    pub(crate) fn membership(&self) -> u64 {
        self.parts.membership
    }

    /// The number of its first event.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.parts.encoding
    }

    pub(super) fn is_converted(&self) -> bool {
        self.parts.is_converted
    }

    #[inline]
    pub(super) fn has_record(&mut self) -> bool {
        self.reader.has_record()
    }

    /// Whether nothing more comes, beside what lies in the ring.
    pub(super) fn has_ended(&self) -> bool {
        self.parts.end.0.get().is_some() || self.reader.is_closed()
    }

    /// Why nothing comes any more, if that is so and everything that lay in the ring was taken.
    #[cold]
    pub(super) fn why_ended(&mut self) -> Option<Error> {
        let why = match self.parts.end.0.get() {
            Some(why) => why.clone(),
            None if self.reader.is_closed() => {
                let name = self.parts.sender.who.name();
                let text = format!("plugin `{name}` sends on the topic no more");
                Error::new(Code::ProviderGone, text)
            }
            None => return None,
        };
        // It may have been published since the look, and before the end.
        (!self.reader.has_record()).then_some(why)
    }

    /// Copies the next record.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut Buffer) -> Read {
        match self.reader.take(buffer) {
            Taken::Record(record) => Read::Record(Record {
                number: record.number,
                time: record.time,
                is_unwritable: record.kind == Kind::Unfit,
            }),
            Taken::Nothing => Read::Nothing,
            taken => self.not_read(&taken),
        }
    }

    #[cold]
    fn not_read(&mut self, taken: &Taken) -> Read {
        match taken {
            Taken::Broken(text) => Read::Broken((*text).to_owned()),
            Taken::OutOfMemory(why) => {
                let why = no_memory(*why, "an event");
                tracing::warn!(%why, "an event is taken later");
                Read::Later
            }
            _ => Read::Later,
        }
    }

    /// The record that was copied last is handled. The number of the next one.
    #[inline]
    pub(super) fn handled(&mut self) -> u64 {
        let (position, next) = self.reader.advance();
        if self.has_cursor() {
            let status = &self.parts.memory.status;
            status.set_cursor(self.parts.cursor, position, next);
        }
        if self.reader.is_starving() {
            self.tell_starving();
        }
        next
    }

    /// Events were overwritten before they were taken.
    #[cold]
    pub(super) fn lost(&self, count: u64) {
        if self.has_cursor() {
            self.parts.memory.status.count_lost(self.parts.cursor, count);
        }
    }

    /// Whether its line is still its own: the broker gives it to another feed once it has said that this one has ended.
    #[inline]
    fn has_cursor(&self) -> bool {
        self.parts.end.0.get().is_none()
    }

    /// Whoever takes from it looks at others.
    pub(super) fn leave(&mut self) {
        fence_all();
        if self.reader.is_starving() {
            self.tell_starving();
        }
    }

    #[cold]
    fn tell_starving(&self) {
        self.parts.sender.bell.wake_room(self.parts.word);
    }

    /// Has the source ring when there is something.
    pub(super) fn arm(&self) {
        self.parts.sender.bell.arm(self.parts.word);
    }

    /// Has the source ring a bell of a thread's that sleeps; false where none is free.
    pub(super) fn announce(&self, bells: &mut SleepBells) -> bool {
        let Some(bell) = bells.of(&self.parts.memory.bells) else {
            return false;
        };
        if self.has_cursor() {
            let status = &self.parts.memory.status;
            status.set_cursor_waiter(self.parts.cursor, u32::from(bell) + 1);
        }
        fence_all();
        self.arm();
        fence_all();
        true
    }

    /// It sleeps no more.
    pub(super) fn take_back(&self) {
        if self.has_cursor() {
            self.parts.memory.status.set_cursor_waiter(self.parts.cursor, 0);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.has_cursor() {
            self.parts.memory.status.leave_cursor(self.parts.cursor);
            fence_all();
            if self.reader.is_starving() {
                self.tell_starving();
            }
        }
    }
}
