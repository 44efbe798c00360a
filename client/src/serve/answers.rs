//! The answers to one peer's calls. They are published at once if there is space for them, or later: when space is
//! free, or by the holder of a [`Responder`](crate::handler::responder::Responder).
//!
//! Which thread may write what: a slot of the outbox belongs to whoever is to answer its call, from the moment the
//! call is taken until the answer is published. First that is the thread that runs the handler, and after
//! [`Answers::defer`] it is the holder of the responder. `busy` and `in_blocks` are written only by the serving
//! threads: by plain loads and stores if only one serves at a time, by atomic read-modify-writes if several serve
//! together. Any thread may change `later`, by atomic read-modify-writes, along with `kept` behind its lock.
//! the lock.

mod late;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use callgate_layout::envelope::{CallKind, Place, Reply, Violation};
use callgate_layout::flags::Waiter;
use callgate_layout::pending::Ticket;
use callgate_layout::{Code, clock, flags, slot};
use parking_lot::Mutex;

use super::exchange::{Exchange, IncomingCall};
use super::outstanding::Outstanding;
use crate::base::archive::ErrorRecord;
use crate::base::error::{Error, Result};
use crate::handler::ReplyBuffer;
use crate::link::{Held, Link, together};

use late::{Kept, Late};

/// The answers to the calls of one peer.
pub(crate) struct Answers {
    link: Arc<Link>,
    /// Whether several threads serve at the same time, as in a pool.
    together: bool,
    /// One bit for each slot whose call was taken, was not answered yet, and is not left for later.
    busy: AtomicU64,
    /// One bit for each slot whose last answer may still hold space outside its cell.
    in_blocks: AtomicU64,
    /// One bit for each slot whose call was left for later: its answer is open, or may still hold space.
    later: AtomicU64,
    kept: Mutex<Kept>,
    /// Whether `kept` has answers that wait for space.
    has_late: AtomicBool,
    /// Whether the dispatcher waits until the last answer has been given.
    is_waited_for: AtomicBool,
    /// Shared by the plugin's links.
    outstanding: Arc<Outstanding>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// How the answer to a call is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The thread that has run the call's handler.
    Server,
    /// The holder of the call's responder.
    Responder,
}

impl Answers {
    pub(crate) fn new(link: Arc<Link>, together: bool, outstanding: Arc<Outstanding>) -> Answers {
        Answers {
            link,
            together,
            busy: AtomicU64::new(0),
            in_blocks: AtomicU64::new(0),
            later: AtomicU64::new(0),
            kept: Mutex::default(),
            has_late: AtomicBool::new(false),
            is_waited_for: AtomicBool::new(false),
            outstanding,
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Notes that a call was taken from a slot and has to be answered.
    #[inline(always)]
    pub(super) fn begin(&self, slot: u8) -> Result<(), Violation> {
        let bit = 1 << slot;
        let (busy, later) = (
            self.busy.load(Ordering::Relaxed),
            // Relaxed is enough: whoever cleared the bit did so before it published the answer, and the caller saw
            // that answer before it made this call.
            self.later.load(Ordering::Relaxed),
        );
        if (busy | later) & bit != 0 {
            self.look_at_later(busy, slot)?;
        }
        self.change(&self.busy, bit, true);
        slot::prepare(self.link.outbox(), self.link.geometry(), slot);
        if self.in_blocks.load(Ordering::Relaxed) & bit != 0 {
            self.change(&self.in_blocks, bit, false);
            self.link.forget_reply(slot);
        }
        Ok(())
    }

    /// One bit for each slot whose call was taken, was not answered yet, and is not left for later. Any thread may
    /// read it.
    pub(super) fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Sets or clears a bit of a word that only serving threads write.
    #[inline(always)]
    fn change(&self, word: &AtomicU64, bit: u64, set: bool) {
        match (self.together, set) {
            (true, true) => drop(word.fetch_or(bit, Ordering::Relaxed)),
            (true, false) => drop(word.fetch_and(!bit, Ordering::Relaxed)),
            (false, set) => {
                let before = word.load(Ordering::Relaxed);
                let after = if set { before | bit } else { before & !bit };
                word.store(after, Ordering::Relaxed);
            }
        }
    }

    /// Answers the call in `exchange.call`: with the payload in `exchange.reply`, or with an error.
    #[inline(always)]
    pub(super) fn answer(&self, outcome: Result<()>, exchange: &mut Exchange) {
        let ok = outcome.is_ok();
        match outcome {
            // An action has no result, whatever the handler has written.
            Ok(()) if exchange.call.envelope.kind == CallKind::Action => exchange.reply.clear(None),
            Ok(()) => {}
            Err(error) => put_error(&error, &mut exchange.reply),
        }
        let is_inline = exchange.reply.is_inline();
        let by = By::Server;
        if !self.publish((exchange.call.ticket, by), ok, &mut exchange.reply) {
            self.keep_late(&exchange.call, ok, &mut exchange.reply);
        }
        if !is_inline {
            // The answer may be late, or may hold space outside its cell; both are looked after when answers are
            // settled.
            self.outstanding.may_be_late.store(true, Ordering::Relaxed);
        }
        exchange.tidy(Some(&self.link));
    }

    /// Answers a call that will not be run.
    #[cold]
    pub(super) fn refuse(&self, call: &IncomingCall, error: &Error) {
        self.publish_error((call.ticket, By::Server), error);
    }

    /// Keeps an answer until there is space for it.
    #[cold]
    fn keep_late(&self, call: &IncomingCall, ok: bool, reply: &mut ReplyBuffer) {
        let late = Late {
            ticket: call.ticket,
            by: By::Server,
            ok,
            reply: std::mem::replace(reply, ReplyBuffer::new()),
            deadline: clock::from_tick(call.envelope.deadline, clock::coarse_now()),
        };
        self.push_late(late);
    }

    /// Publishes an answer and wakes its caller if the caller sleeps. Returns `false` if there is no space for the
    /// answer.
    #[inline(always)]
    fn publish(&self, to: (Ticket, By), ok: bool, reply: &mut ReplyBuffer) -> bool {
        if let Some(length) = reply.inline_length() {
            self.publish_at(to, ok, (Place::Inline, length), reply);
            return true;
        }
        self.publish_large(to, ok, reply)
    }

    #[cold]
    fn publish_large(&self, to: (Ticket, By), ok: bool, reply: &mut ReplyBuffer) -> bool {
        if let Some((space, length)) = reply.take_space() {
            self.publish_held(to, ok, (Held::Extent(space), length), reply);
            return true;
        }
        let link = &*self.link;
        let mut written = link.write_payload(reply.bytes());
        if written.is_none() {
            link.reclaim_replies();
            written = link.write_payload(reply.bytes());
        }
        match written {
            None => false,
            Some(Ok(held)) => {
                self.publish_held(to, ok, (held, reply.bytes().len()), reply);
                true
            }
            Some(Err(error)) => self.publish_no_space(to, &error),
        }
    }

    /// Publishes an answer whose payload is outside its cell. The payload's space is kept until the peer gives it
    /// back.
    fn publish_held(
        &self,
        (ticket, by): (Ticket, By),
        ok: bool,
        (held, length): (Held, usize),
        reply: &mut ReplyBuffer,
    ) {
        let place = held.place();
        // Set before the peer can see the answer, and so before the slot's next call.
        match by {
            By::Server => self.change(&self.in_blocks, 1 << ticket.slot, true),
            By::Responder => {}
        }
        self.link.keep_reply(ticket, held);
        self.publish_at((ticket, by), ok, (place, length), reply);
        // If the caller gave the call up before the reply was published, the space of the reply is freed here.
        self.link.reclaim_replies();
    }

    /// Publishes an answer whose payload has been written to `place`.
    #[inline(always)]
    fn publish_at(
        &self,
        (ticket, by): (Ticket, By),
        ok: bool,
        (place, length): (Place, usize),
        reply: &mut ReplyBuffer,
    ) {
        let link = &*self.link;
        let (outbox, geometry) = (link.outbox(), link.geometry());
        let Ticket { slot, generation } = ticket;
        let length = length as u32;
        let envelope = Reply { ok, place, length };
        match by {
            By::Server => self.change(&self.busy, 1 << slot, false),
            By::Responder => self.end_later(slot, place),
        }
        let cell = reply.cell_mut();
        slot::publish(outbox, geometry, slot, generation, &envelope, cell);
        match flags::waiter_to_wake(link.inbox(), geometry, slot) {
            Waiter::Nobody => {}
            Waiter::Bell(bell) => match by {
                By::Server => link.peer_bell().ring_callers(bell),
                By::Responder => together::ring(&self.link, bell),
            },
            Waiter::Reply => slot::wake(outbox, geometry, slot),
        }
    }

    /// There is no memory for a result: publishes an error that fits inline instead.
    #[cold]
    fn publish_no_space(&self, to: (Ticket, By), why: &Error) -> bool {
        let error = match why.code() {
            // This plugin has closed meanwhile: its broker or the link cannot be used any more.
            code if code == Code::Closed || self.link.is_gone() => {
                Error::new(Code::ProviderGone, "the plugin has closed")
            }
            code => Error::new(code, "the handler ran, but its result found no room"),
        };
        let error = error.maybe_run();
        self.note(why);
        self.publish_error(to, &error)
    }

    /// Publishes an error. If its text does not fit inline, only its code is published.
    #[cold]
    fn publish_error(&self, to: (Ticket, By), error: &Error) -> bool {
        let mut reply = ReplyBuffer::new();
        put_error(error, &mut reply);
        if !reply.is_inline() {
            reply.clear(None);
        }
        self.publish(to, false, &mut reply)
    }
}

/// Writes an error into the reply, in place of a result. If its text does not fit, only its code is kept.
fn put_error(error: &Error, reply: &mut ReplyBuffer) {
    if reply.put(&ErrorRecord::from(error)).is_err() {
        reply.clear(None);
    }
}
