//! A feed's place in one ring of its source, and its cursor in this plugin's status page.

use std::sync::{Arc, OnceLock};

use callgate_layout::events::cursor::Waiter;
use callgate_layout::events::{RingReader, Run, Taken};
use callgate_layout::pages::Doorbell;
use callgate_layout::view::ReadView;
use callgate_layout::{Code, Encoding};

use super::wakes::BellOf;
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
    /// Where it was when the sender was last told of room.
    told: u64,
}

/// A sender that waits for room is told when this part of the ring was handled, or there is nothing left.
const TELL_EVERY: u64 = 16;

impl Place {
    /// One that begins where the source has noted it; `None` where the ring is none.
    pub(crate) fn new(
        parts: PlaceParts,
        ring: ReadView,
        (position, number): (u64, u64),
    ) -> Option<Place> {
        let reader = RingReader::new(ring, position, number)?;
        let mut place = Place {
            parts,
            reader,
            start: number,
            told: position,
        };
        place.handled();
        Some(place)
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

    /// The number of the event behind the one that was taken last.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.reader.number()
    }

    /// Whether a look would find anything.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.reader.has_news() || self.parts.end.0.get().is_some()
    }

    /// Takes the next event of a run of this ring.
    #[inline]
    pub(super) fn take(&mut self, run: &mut Run) -> Taken {
        self.reader.take(run)
    }

    /// Why nothing comes any more, where that is so: everything that lay in the ring was taken.
    #[cold]
    pub(super) fn why_ended(&self, is_closed: bool) -> Option<Error> {
        if let Some(why) = self.parts.end.0.get() {
            // It may have been published since the look, and before the end.
            return (!self.reader.has_news() || is_closed).then(|| why.clone());
        }
        is_closed.then(|| {
            let name = self.parts.sender.who.name();
            let text = format!("plugin `{name}` sends on the topic no more");
            Error::new(Code::ProviderGone, text)
        })
    }

    /// Everything that was taken is handled.
    #[inline]
    pub(super) fn handled(&mut self) {
        if self.has_cursor() {
            let cursor = self.parts.memory.status.cursor(self.parts.cursor);
            cursor.handled(self.reader.position(), self.reader.number());
        }
        if self.reader.seems_starving() && self.has_made_room() {
            self.tell_starving();
        }
    }

    /// Events were overwritten before they were taken.
    #[cold]
    pub(super) fn lost(&mut self, count: u64) {
        if self.has_cursor() {
            let status = &self.parts.memory.status;
            status.cursor(self.parts.cursor).count_lost(count);
        }
        self.handled();
    }

    /// Whether its line is still its own: the broker gives it to another feed once it has said that this one has ended.
    #[inline]
    fn has_cursor(&self) -> bool {
        self.parts.end.0.get().is_none()
    }

    /// Whoever takes from it looks at others.
    pub(super) fn leave(&mut self) {
        if self.reader.is_starving() && (self.has_made_room() || !self.reader.has_news()) {
            self.tell_starving();
        }
    }

    /// Whether telling a sender that waits is worth a system call: told after each event, it writes one more and
    /// waits again. It looks by itself now and then.
    #[inline]
    fn has_made_room(&self) -> bool {
        self.reader.position().wrapping_sub(self.told) >= self.reader.capacity() / TELL_EVERY
    }

    #[cold]
    fn tell_starving(&mut self) {
        self.told = self.reader.position();
        self.parts.sender.bell.wake_room(self.parts.word);
    }

    /// Has the source ring when there is something.
    pub(super) fn arm(&self) {
        self.parts.sender.bell.arm(self.parts.word);
    }

    /// Says that a thread is about to sleep, and on which bell of this plugin's; false where none is free.
    pub(super) fn announce(&self, bell: &mut BellOf<'_>) -> bool {
        let bell = bell(&self.parts.memory);
        if let Some(bell) = bell {
            self.set_waiter(Waiter::Bell(bell));
        }
        bell.is_some()
    }

    /// It sleeps no more.
    pub(super) fn take_back(&self) {
        self.set_waiter(Waiter::Nobody);
    }

    fn set_waiter(&self, waiter: Waiter) {
        if self.has_cursor() {
            let status = &self.parts.memory.status;
            status.cursor(self.parts.cursor).set_waiter(waiter);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.has_cursor() {
            self.parts.memory.status.cursor(self.parts.cursor).leave();
            self.leave();
        }
    }
}
