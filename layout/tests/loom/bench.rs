//! A link with both ends in one process, and what the client does around the layout's protocols.

mod close;
mod provider;

use std::sync::Arc;

use callgate_layout::bells::{Bells, Sleeper};
use callgate_layout::blocks::{self, Blocks, Region, Run};
use callgate_layout::closing::{self, Fate};
use callgate_layout::envelope::{Call, CallKind, Cell, Place, Reply};
use callgate_layout::flags::Waiter;
use callgate_layout::late::Abandoning;
use callgate_layout::life::{Ended, Life};
use callgate_layout::pages::{self, Activity, Doorbell, Rung, Status};
use callgate_layout::pending::{Pending, Ticket};
use callgate_layout::ring::{RingReader, RingWriter};
use callgate_layout::view::{ReadView, Use, WriteView};
use callgate_layout::waiters::Waiters;
use callgate_layout::words::{WordSleeper, Words};
use callgate_layout::{Encoding, Geometry, flags, slot};
use loom::sync::{Condvar, Mutex};
use loom::thread;

pub(crate) use provider::{Provider, Taken};

/// Checks a model with every interleaving of at most `preemptions` preemptions; all of them
/// where that is `None`.
pub(crate) fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// The step that a model leaves out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// The second look, after a thread has announced that it will sleep.
    SecondLook,
    /// The step that the model names.
    ThePoint,
}

/// A small geometry: one block of the outbox holds one word.
pub(crate) fn geometry(entries: u32) -> Geometry {
    Geometry::new(entries, 512).unwrap()
}

/// An outbox by the byte tables in `geometry`, `envelope` and `flags`.
fn outbox(geometry: Geometry) -> WriteView {
    use std::iter::{once, repeat_n};
    let cells = |first| once(first).chain(repeat_n(Use::Data, 15));
    let entries = geometry.entries() as usize;
    let ring = (0..entries).flat_map(|_| cells(Use::Wide));
    let replies = (0..entries).flat_map(|_| cells(Use::Narrow));
    let flags = (0..entries).flat_map(|_| repeat_n(Use::Narrow, 2).chain(repeat_n(Use::Data, 6)));
    let blocks = repeat_n(Use::Data, geometry.blocks_len() / 8);
    let outbox = WriteView::heap(ring.chain(replies).chain(flags).chain(blocks));
    assert_eq!(outbox.as_read().len(), geometry.total_len());
    outbox
}

/// The first bytes of a status page.
fn status_page() -> WriteView {
    use std::iter::{once, repeat_n};
    let state = once(Use::Narrow).chain(repeat_n(Use::Data, 15));
    WriteView::heap(state.chain(repeat_n(Use::Wide, 3)))
}

/// The first bells of a doorbell page: the dispatcher's, and those of two callers.
fn callers_page() -> WriteView {
    use std::iter::{once, repeat_n};
    let line = || once(Use::Narrow).chain(repeat_n(Use::Data, 7));
    WriteView::heap((0..3).flat_map(|_| line()))
}

/// The kernel's wait queue of a word or several: looks at the words and goes to sleep in one
/// step, as far as wakers can tell.
#[derive(Debug)]
pub(crate) struct Futex {
    queue: Mutex<()>,
    wake: Condvar,
}

impl Futex {
    pub(crate) fn new() -> Futex {
        Futex {
            queue: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    pub(crate) fn wait(&self, is_as_expected: impl FnOnce() -> bool) {
        let queue = self.queue.lock().unwrap();
        if is_as_expected() {
            drop(self.wake.wait(queue).unwrap());
        }
    }

    pub(crate) fn wake(&self) {
        drop(self.queue.lock().unwrap());
        self.wake.notify_all();
    }
}

/// A link: the caller's outbox with its private records, and the provider's pages.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) geometry: Geometry,
    pub(crate) without: Without,
    /// The caller's outbox: ring, flags and requests.
    pub(crate) calls: WriteView,
    /// The provider's outbox: reply slots and replies.
    pub(crate) replies: WriteView,
    pub(crate) ring: RingWriter,
    pub(crate) pending: Pending,
    pub(crate) requests: Blocks,
    sweeper: Mutex<()>,
    /// The blocks of each pending call's request.
    pub(crate) kept: Mutex<[Option<Run>; 2]>,
    pub(crate) status: Status,
    pub(crate) status_page: ReadView,
    rung: Rung,
    pub(crate) bell: Doorbell,
    pub(crate) bell_queue: Futex,
    /// Take the place of polling, for calls and for answers: polling would give loom too many orders to try.
    pub(crate) calls_queue: Futex,
    pub(crate) answers_queue: Futex,
    pub(crate) life: Life,
    /// The threads that wait for slots or blocks. They sleep on the same queues as those that wait for answers.
    pub(crate) waiters: Waiters,
    /// Callers asleep on a reply slot and the link's state.
    pub(crate) slot_queue: Futex,
    /// The caller's own doorbell, and its bells there.
    pub(crate) callers_doorbell: Arc<Doorbell>,
    pub(crate) bells: Arc<Bells>,
    /// Callers asleep on their bells.
    pub(crate) bells_queue: Futex,
}

impl Link {
    pub(crate) fn new(entries: u32, without: Without) -> Arc<Link> {
        let status = status_page();
        let geometry = geometry(entries);
        let callers_doorbell = Arc::new(Doorbell::new(callers_page()));
        Arc::new(Link {
            geometry,
            without,
            calls: outbox(geometry),
            replies: outbox(geometry),
            ring: RingWriter::new(geometry),
            pending: Pending::new(geometry),
            requests: Blocks::new(Region::outbox(geometry)),
            sweeper: Mutex::new(()),
            kept: Mutex::new([None; 2]),
            status_page: status.as_read().clone(),
            status: Status::new(status),
            rung: Rung::new(),
            bell: Doorbell::new(WriteView::heap([Use::Narrow])),
            bell_queue: Futex::new(),
            calls_queue: Futex::new(),
            answers_queue: Futex::new(),
            life: Life::new(),
            waiters: Waiters::new(),
            slot_queue: Futex::new(),
            bells: Arc::new(Bells::new(callers_doorbell.clone())),
            callers_doorbell,
            bells_queue: Futex::new(),
        })
    }

    /// Takes a slot for a call of a gate that begins a chain, waiting for it awake.
    pub(crate) fn take(&self, gate: u16) -> Ticket {
        self.take_by(|| self.pending.take_for(gate))
    }

    /// The same for a call that a handler makes.
    pub(crate) fn take_in_chain(&self, gate: u16) -> Ticket {
        self.take_by(|| self.pending.take(gate))
    }

    fn take_by(&self, attempt: impl Fn() -> Option<Ticket>) -> Ticket {
        loop {
            match attempt() {
                Some(ticket) => return ticket,
                None if self.pending.in_flight() < self.geometry.entries() => thread::yield_now(),
                None => self
                    .answers_queue
                    .wait(|| self.pending.in_flight() == self.geometry.entries()),
            }
        }
    }

    /// Publishes a call with one word of payload in its entry.
    pub(crate) fn publish(&self, ticket: Ticket, value: u64) {
        let mut cell = Cell::default();
        cell.inline_mut()[..8].copy_from_slice(&value.to_ne_bytes());
        self.publish_at(ticket, Place::Inline, &mut cell);
    }

    /// Publishes a call with one word of payload in the outbox's blocks, if there is room.
    pub(crate) fn publish_in_area(&self, ticket: Ticket, value: u64) {
        let run = self.requests.allocate(8).unwrap();
        blocks::write(
            &self.calls,
            Region::outbox(self.geometry),
            run,
            &value.to_ne_bytes(),
        );
        self.kept.lock().unwrap()[usize::from(ticket.slot)] = Some(run);
        let block = run.first();
        self.publish_at(ticket, Place::Blocks { block }, &mut Cell::default());
    }

    fn publish_at(&self, ticket: Ticket, place: Place, cell: &mut Cell) {
        let call = Call {
            gate: 0,
            slot: ticket.slot,
            kind: CallKind::Function,
            encoding: Encoding::Archive,
            place,
            length: 8,
            deadline: 0,
            chain: None,
        };
        self.ring.publish(&self.calls, &call, cell);
        self.calls_queue.wake();
    }

    /// Wakes the provider if it is parked, after something was published for it.
    pub(crate) fn wake_provider(&self) -> Activity {
        let activity = pages::look_after_publishing(&self.status_page);
        if activity == Activity::Parked {
            let page = &self.status_page;
            self.rung.once_a_park(page, || self.ring_provider());
        }
        activity
    }

    pub(crate) fn ring_provider(&self) {
        self.bell.touch();
        self.bell_queue.wake();
    }

    pub(crate) fn is_answered(&self, ticket: Ticket) -> bool {
        slot::state(self.replies.as_read(), self.geometry, ticket.slot) == ticket.generation
    }

    pub(crate) fn end(&self) {
        self.life.end();
        self.wake_all();
    }

    /// Makes all threads that wait on the link look again.
    fn wake_all(&self) {
        self.slot_queue.wake();
        for bell in self.bells.in_use() {
            self.ring_callers(bell);
        }
    }

    pub(crate) fn ended(&self, ticket: Ticket) -> Option<Ended> {
        let fate = || self.fate(ticket);
        self.life.ended(|| self.is_answered(ticket), fate)
    }

    /// What happened to a call that was published.
    pub(crate) fn fate(&self, ticket: Ticket) -> Fate {
        let number = || self.ring.number_of(&self.calls, ticket.slot);
        closing::fate(self.replies.as_read(), self.geometry, number)
    }

    /// Waits for the answer awake.
    pub(crate) fn spin(&self, ticket: Ticket) {
        while !self.is_answered(ticket) {
            self.answers_queue.wait(|| !self.is_answered(ticket));
        }
    }

    /// Waits for the answer asleep; false when the link is gone without one.
    pub(crate) fn park(&self, ticket: Ticket) -> bool {
        self.park_to_the_end(ticket) == Ended::Answered
    }

    /// The same; says how that ended.
    pub(crate) fn park_to_the_end(&self, ticket: Ticket) -> Ended {
        let (outbox, inbox) = (&self.calls, self.replies.as_read());
        let sleeper = WordSleeper::announce(outbox, inbox, self.geometry, ticket.slot);
        let sleep = |seen: Words| {
            self.slot_queue.wait(|| seen.are(sleeper.seen(&self.life)));
        };
        sleeper.wait(&self.life, || self.ended(ticket), sleep)
    }

    pub(crate) fn ring_callers(&self, bell: u8) {
        self.callers_doorbell.touch_callers(bell);
        self.bells_queue.wake();
    }

    /// As [`Link::park`], on a bell of the caller's own.
    pub(crate) fn sleep(&self, ticket: Ticket) -> bool {
        self.sleep_to_the_end(ticket) == Ended::Answered
    }

    /// The same; says how that ended.
    pub(crate) fn sleep_to_the_end(&self, ticket: Ticket) -> Ended {
        let sleeper = Sleeper::new(&self.bells, &self.calls, self.geometry, ticket.slot);
        let sleeper = sleeper.unwrap();
        let sleep = |seen| self.bells_queue.wait(|| sleeper.value() == seen);
        sleeper.wait(|| self.ended(ticket), sleep)
    }

    /// Copies the answer out.
    pub(crate) fn read(&self, ticket: Ticket) -> u64 {
        let (inbox, mut cell) = (self.replies.as_read(), Cell::default());
        let reply = slot::read(inbox, self.geometry, ticket.slot, &mut cell).unwrap();
        assert!(reply.ok && reply.length == 8);
        word(inbox, self.geometry, reply.place, &cell)
    }

    pub(crate) fn release(&self, ticket: Ticket) {
        flags::release(&self.calls, self.geometry, ticket.slot, ticket.generation);
    }

    /// Releases a reply, and rings if the provider waits for that.
    pub(crate) fn release_and_tell(&self, ticket: Ticket) {
        self.release(ticket);
        if pages::look_after_releasing(&self.status_page) {
            self.ring_provider();
        }
    }

    pub(crate) fn abandoning(&self, waiter: Waiter) -> Abandoning<'_> {
        Abandoning {
            outbox: &self.calls,
            geometry: self.geometry,
            pending: &self.pending,
            waiter,
        }
    }

    /// Gives up, as the client does after a deadline.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let abandoning = self.abandoning(Waiter::Reply);
        if abandoning.abandon(ticket, &self.status_page) {
            self.ring_provider();
        }
    }

    /// Tells the threads that wait for slots or blocks that some may be free.
    pub(crate) fn freed(&self) {
        if self.waiters.are_any() {
            self.waiters.change();
            self.slot_queue.wake();
        }
    }

    /// Frees a slot whose answer was copied.
    pub(crate) fn finish(&self, ticket: Ticket) {
        self.free_request(ticket.slot);
        self.pending.free(ticket);
        self.answers_queue.wake();
    }

    pub(crate) fn sweep(&self) {
        self.pending.sweep(
            |ticket| self.is_answered(ticket),
            |slot| {
                flags::set_waiter(&self.calls, self.geometry, slot, Waiter::Nobody);
                self.free_request(slot);
            },
        );
    }

    /// Sweeps where other threads may too.
    pub(crate) fn sweep_alone(&self) {
        let _alone = self.sweeper.lock().unwrap();
        self.sweep();
    }

    fn free_request(&self, slot: u8) {
        if let Some(run) = self.kept.lock().unwrap()[usize::from(slot)].take() {
            self.requests.free(run);
        }
    }
}

fn word(inbox: &ReadView, geometry: Geometry, place: Place, cell: &Cell) -> u64 {
    let mut bytes = [0; 8];
    match place {
        Place::Inline => bytes.copy_from_slice(&cell.inline()[..8]),
        Place::Blocks { block } => blocks::read(inbox, Region::outbox(geometry), block, &mut bytes),
        Place::Extent(_) => panic!("the models have no extents"),
    }
    u64::from_ne_bytes(bytes)
}

/// What the provider adds to what it was called with.
pub(crate) const ANSWER: u64 = 1000;
