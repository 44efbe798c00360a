//! A feed's place in one ring of its source, and its cursor in this plugin's status page.

use std::sync::{Arc, OnceLock};

use callgate_layout::events::cursor::{Cursor, Waiter};
use callgate_layout::events::{RingReader, Run, Taken};
use callgate_layout::pages::Doorbell;
use callgate_layout::view::ReadView;
use callgate_layout::{Code, Encoding};

use super::wakes::WaiterOf;
use crate::base::error::Error;
use crate::link::cursor_lines::CursorLine;
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
    /// Its line in the status page, where nobody else writes.
    pub(crate) cursor: CursorLine,
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
    /// What is still taken, once it was seen that the feed has ended.
    rest: Option<Rest>,
}

/// What had been published when it was seen that a feed has ended; of a source that lies about that, two rings full at most.
#[derive(Debug)]
struct Rest {
    published: u64,
    /// Up to where it is taken.
    until: u64,
    /// It was seen that the ring had been written over before the end.
    is_cut: bool,
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
            rest: None,
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
        match self.parts.end.0.get() {
            None => self.reader.take(run),
            Some(_) => self.take_rest(run),
        }
    }

    /// What had been published when the feed ended: its source may go on, and this plugin may not be let hear that.
    #[cold]
    fn take_rest(&mut self, run: &mut Run) -> Taken {
        let reader = &mut self.reader;
        let capacity = reader.capacity();
        let rest = self.rest.get_or_insert_with(|| {
            let published = reader.published();
            Rest {
                published,
                until: published.min(reader.position().saturating_add(capacity)),
                is_cut: false,
            }
        });
        if reader.position() >= rest.until {
            return Taken::Nothing;
        }
        let taken = reader.take(run);
        // What is left of a ring that was written over begins further on. Once: it is not written over again after its end,
        // unless the source goes on.
        if matches!(taken, Taken::Lost(_)) && !std::mem::replace(&mut rest.is_cut, true) {
            rest.until = rest
                .published
                .min(reader.position().saturating_add(capacity));
        }
        taken
    }

    /// Why nothing comes any more, where that is so: everything that lay in the ring was taken.
    #[cold]
    pub(super) fn why_ended(&self, is_closed: bool) -> Option<Error> {
        if let Some(why) = self.parts.end.0.get() {
            // It may have been published since the look, and before the end.
            let rest = self.rest.as_ref();
            let is_taken = rest.is_some_and(|rest| self.reader.position() >= rest.until);
            return (is_taken || !self.reader.has_news() || is_closed).then(|| why.clone());
        }
        is_closed.then(|| {
            let name = self.parts.sender.who.name();
            let text = format!("plugin `{name}` sends on the topic no more");
            Error::new(Code::ProviderGone, text)
        })
    }

    /// Everything that was taken is handled.
    #[inline(always)]
    pub(super) fn handled(&mut self) {
        let (position, number) = (self.reader.position(), self.reader.number());
        self.cursor().handled(position, number);
        if self.reader.seems_starving() && self.has_made_room() {
            self.tell_starving();
        }
    }

    /// Events were overwritten before they were taken.
    #[cold]
    pub(super) fn lost(&mut self, count: u64) {
        self.cursor().count_lost(count);
        self.handled();
    }

    /// Its own also when the broker has said that the feed has ended.
    #[inline]
    fn cursor(&self) -> Cursor<'_> {
        let status = &self.parts.memory.status;
        status.cursor(self.parts.cursor.index())
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

    /// Says that a thread is about to sleep, and how it is woken; false where it cannot be.
    pub(super) fn announce(&self, waiter: &mut WaiterOf<'_>) -> bool {
        let waiter = waiter(&self.parts.memory, self.parts.cursor.index());
        if let Some(waiter) = waiter {
            self.set_waiter(waiter);
        }
        waiter.is_some()
    }

    /// It sleeps no more.
    pub(super) fn take_back(&self) {
        self.set_waiter(Waiter::Nobody);
    }

    fn set_waiter(&self, waiter: Waiter) {
        self.cursor().set_waiter(waiter);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cursor().leave();
        self.leave();
    }
}
