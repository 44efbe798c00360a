//! The provider's side of a link.

use super::*;

/// A call as the provider has noted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) ticket: Ticket,
    pub(crate) value: u64,
}

/// The provider's dispatcher on a link.
#[derive(Debug)]
pub(crate) struct Provider {
    link: Arc<Link>,
    pub(super) reader: RingReader,
    busy: [bool; 4],
    generations: [u32; 4],
    pub(crate) blocks: Blocks,
    /// Generation and blocks of each reply that lies in the outbox's blocks.
    kept: [Option<(u32, Run)>; 4],
}

impl Provider {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn new(link: &Arc<Link>) -> Provider {
        Provider {
            link: link.clone(),
            reader: RingReader::new(link.geometry),
            busy: [false; 4],
            generations: [0; 4],
            blocks: Blocks::new(Region::outbox(link.geometry)),
            kept: [None; 4],
        }
    }

    pub(crate) fn has_call(&self) -> bool {
        self.reader.has_call(self.link.calls.as_read())
    }

    /// Takes the next call, if there is one.
    pub(crate) fn try_take(&mut self) -> Option<Taken> {
        let (inbox, mut cell) = (self.link.calls.as_read(), Cell::default());
        let call = self.reader.take(inbox, &mut cell)?.unwrap();
        let slot = usize::from(call.slot);
        assert!(!self.busy[slot], "a call in a busy slot");
        self.busy[slot] = true;
        self.generations[slot] += 1;
        if let Some((_, run)) = self.kept[slot].take() {
            self.blocks.free(run);
        }
        let value = word(inbox, self.link.geometry, call.place, &cell);
        let ticket = Ticket {
            slot: call.slot,
            generation: self.generations[slot],
        };
        Some(Taken { ticket, value })
    }

    /// Takes the next call, waiting for it awake.
    pub(crate) fn take(&mut self) -> Taken {
        loop {
            match self.try_take() {
                Some(taken) => return taken,
                None => self.link.calls_queue.wait(|| !self.has_call()),
            }
        }
    }

    /// Sleeps until the bell is rung, unless `has_work`.
    pub(crate) fn park(&self, has_work: impl FnOnce() -> bool) {
        let seen = self.link.status.park(&self.link.bell);
        if self.link.without == Without::SecondLook || !has_work() {
            self.link.bell_queue.wait(|| self.link.bell.value() == seen);
        }
        self.link.status.awake();
    }

    /// Answers in the reply slot.
    pub(crate) fn answer(&mut self, call: Taken) {
        let waiter = self.answer_unheard(call);
        self.wake(waiter);
    }

    /// The same, and leaves it to the model to [wake](Provider::wake) the caller.
    pub(crate) fn answer_unheard(&mut self, call: Taken) -> Waiter {
        let mut cell = Cell::default();
        cell.inline_mut()[..8].copy_from_slice(&(call.value + ANSWER).to_ne_bytes());
        self.publish_unheard(call.ticket, Place::Inline, &mut cell)
    }

    /// Answers in the outbox's blocks; false while that has no room.
    pub(crate) fn answer_in_area(&mut self, call: Taken) -> bool {
        self.reclaim();
        let Some(run) = self.blocks.allocate(8) else {
            return false;
        };
        let bytes = (call.value + ANSWER).to_ne_bytes();
        blocks::write(
            &self.link.replies,
            Region::outbox(self.link.geometry),
            run,
            &bytes,
        );
        let block = run.first();
        self.publish(call.ticket, Place::Blocks { block }, &mut Cell::default());
        let slot = usize::from(call.ticket.slot);
        self.kept[slot] = Some((call.ticket.generation, run));
        // The caller may have given up before the reply was published.
        self.reclaim();
        true
    }

    fn publish(&mut self, ticket: Ticket, place: Place, cell: &mut Cell) {
        let waiter = self.publish_unheard(ticket, place, cell);
        self.wake(waiter);
    }

    fn publish_unheard(&mut self, ticket: Ticket, place: Place, cell: &mut Cell) -> Waiter {
        let (outbox, geometry) = (&self.link.replies, self.link.geometry);
        let reply = Reply {
            ok: true,
            place,
            length: 8,
        };
        self.busy[usize::from(ticket.slot)] = false;
        slot::publish(
            outbox,
            geometry,
            ticket.slot,
            ticket.generation,
            &reply,
            cell,
        );
        self.link.answers_queue.wake();
        flags::waiter_to_wake(self.link.calls.as_read(), geometry, ticket.slot)
    }

    /// Wakes a caller whose answer is published.
    pub(crate) fn wake(&self, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Bell(bell) => self.link.ring_callers(bell),
            Waiter::Reply => self.link.slot_queue.wake(),
        }
    }

    /// Frees the blocks of the replies that the caller has given back; true when none is left.
    pub(crate) fn reclaim(&mut self) -> bool {
        let (inbox, geometry) = (self.link.calls.as_read(), self.link.geometry);
        for (slot, kept) in (0..).zip(&mut self.kept) {
            if let Some((_, run)) =
                kept.take_if(|kept| flags::is_released(inbox, geometry, slot, kept.0))
            {
                self.blocks.free(run);
            }
        }
        self.kept.iter().all(Option::is_none)
    }
}
