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

/// A sending plugin, in one membership.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) who: Arc<Caller>,
    /// Its doorbell page, through which its threads that wait for room are woken.
    pub(crate) bell: Doorbell,
}

/// Why a feed has ended in one ring. The control thread sets it; the taking thread reads it.
#[derive(Debug, Default)]
pub(crate) struct End(OnceLock<Error>);

impl End {
    /// Sets the reason, unless there is one.
    pub(crate) fn set(&self, why: &Error) {
        let _ = self.0.set(why.clone());
    }
}

/// Arguments of [`Place::new`].
#[derive(Debug)]
pub(crate) struct PlaceParts {
    /// The membership's number.
    pub(crate) membership: u64,
    pub(crate) memory: Arc<OwnMemory>,
    /// The cursor in this plugin's status page. Only this place writes it.
    pub(crate) cursor: CursorLine,
    pub(crate) sender: Arc<Sender>,
    /// The source's topic word in the sender's doorbell page.
    pub(crate) word: u16,
    pub(crate) encoding: Encoding,
    /// Whether the source's types differ from those that are wanted.
    pub(crate) is_converted: bool,
    pub(crate) end: Arc<End>,
}

#[derive(Debug)]
pub(crate) struct Place {
    parts: PlaceParts,
    reader: RingReader,
    start: u64,
    /// The reader's position when the sender was last told that there is room.
    told: u64,
    /// What is still to be taken, once this place has seen that the feed has ended.
    rest: Option<Rest>,
}

/// The part of the ring that is still taken after the end of the feed. If the source lies about what it has
/// published, that is two rings full at most.
#[derive(Debug)]
struct Rest {
    published: u64,
    /// The position up to which it is taken.
    until: u64,
    /// Whether it was found that the ring had been overwritten before the end.
    is_cut: bool,
}

/// A sender that waits for room is told each time that this part of the ring was handled, and when nothing is left.
const TELL_EVERY: u64 = 16;

impl Place {
    /// A place at the position that the source has noted for the feed; `None` if the memory holds no valid ring.
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

    /// The number of the first event that belongs to this place.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.parts.encoding
    }

    pub(super) fn is_converted(&self) -> bool {
        self.parts.is_converted
    }

    /// The number of the event after the one that was taken last.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.reader.number()
    }

    /// Whether [`Place::take`] would find something.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.reader.has_news() || self.parts.end.0.get().is_some()
    }

    /// Takes the next event. `run` holds the bytes that were copied from this ring.
    #[inline]
    pub(super) fn take(&mut self, run: &mut Run) -> Taken {
        match self.parts.end.0.get() {
            None => self.reader.take(run),
            Some(_) => self.take_rest(run),
        }
    }

    /// Takes what had been published when the feed ended, and no more: the source may go on to send, and this
    /// plugin may have lost the right to hear it.
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
        // Events were overwritten, so what is left begins further on. This is allowed once: only a source that goes
        // on to write would overwrite the ring again.
        if matches!(taken, Taken::Lost(_)) && !std::mem::replace(&mut rest.is_cut, true) {
            rest.until = rest
                .published
                .min(reader.position().saturating_add(capacity));
        }
        taken
    }

    /// Why nothing more will come, once everything in the ring was taken; `None` before that.
    #[cold]
    pub(super) fn why_ended(&self, is_closed: bool) -> Option<Error> {
        if let Some(why) = self.parts.end.0.get() {
            // Events may have been published between the last look and the end; those have to be taken first.
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

    /// Moves the cursor: everything that was taken is handled. Wakes the sender if it waits for room.
    #[inline(always)]
    pub(super) fn handled(&mut self) {
        let (position, number) = (self.reader.position(), self.reader.number());
        self.cursor().handled(position, number);
        if self.reader.seems_starving() && self.has_made_room() {
            self.tell_starving();
        }
    }

    /// Counts events that were overwritten before they were taken.
    #[cold]
    pub(super) fn lost(&mut self, count: u64) {
        self.cursor().count_lost(count);
        self.handled();
    }

    /// The cursor. It stays this place's own even after the broker has said that the feed has ended.
    #[inline]
    fn cursor(&self) -> Cursor<'_> {
        let status = &self.parts.memory.status;
        status.cursor(self.parts.cursor.index())
    }

    /// Called when the thread stops taking from this feed: wakes the sender if it waits for room.
    pub(super) fn leave(&mut self) {
        if self.reader.is_starving() && (self.has_made_room() || !self.reader.has_news()) {
            self.tell_starving();
        }
    }

    /// Whether waking a waiting sender is worth a system call: if it were woken after each event, it would write
    /// one more event and wait again. It also looks by itself from time to time.
    #[inline]
    fn has_made_room(&self) -> bool {
        self.reader.position().wrapping_sub(self.told) >= self.reader.capacity() / TELL_EVERY
    }

    #[cold]
    fn tell_starving(&mut self) {
        self.told = self.reader.position();
        self.parts.sender.bell.wake_room(self.parts.word);
    }

    /// Arms the source: it wakes this plugin when there is an event.
    pub(super) fn arm(&self) {
        self.parts.sender.bell.arm(self.parts.word);
    }

    /// Names in the cursor how a thread that is about to sleep is woken; `false` if there is no way to wake it.
    pub(super) fn announce(&self, waiter: &mut WaiterOf<'_>) -> bool {
        let waiter = waiter(&self.parts.memory, self.parts.cursor.index());
        if let Some(waiter) = waiter {
            self.set_waiter(waiter);
        }
        waiter.is_some()
    }

    /// Removes the waiter from the cursor.
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
