//! The answers to one peer's calls: published at once, when there is space for them, or later by whoever
//! a handler has handed its reply to.
//!
//! Who may write what. A slot of the outbox, from the moment its call was taken until its answer is
//! published, belongs to whoever is to answer the call: first the thread that runs the handler, and from
//! [`Answers::defer`] on the holder of the [`Responder`](super::responder::Responder). `busy` and
//! `in_blocks` are written by the threads that serve, and only by them: one at a time, or where several
//! serve together in one step. `later` is written in one step by anybody, together with what lies behind
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
use super::together;
use crate::base::archive::ErrorRecord;
use crate::base::error::{Error, Result};
use crate::handler::ReplyBuffer;
use crate::link::{Held, Link};

use late::{Kept, Late};

/// The answers to the calls of one peer.
pub(crate) struct Answers {
    link: Arc<Link>,
    /// Whether several threads serve together.
    together: bool,
    /// One bit for each slot whose call was taken and is neither answered nor left for later.
    busy: AtomicU64,
    /// One bit for each slot whose last answer may still hold space outside its cell.
    in_blocks: AtomicU64,
    /// One bit for each slot that `kept` has to say something about.
    later: AtomicU64,
    kept: Mutex<Kept>,
    /// Whether `kept` has answers that wait for space.
    has_late: AtomicBool,
    /// Whether the dispatcher waits for the last answer.
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
    /// By the thread that has run its handler.
    Server,
    /// By whoever has its responder.
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

    /// A call was taken from a slot: it is to be answered.
    #[inline(always)]
    pub(super) fn begin(&self, slot: u8) -> Result<(), Violation> {
        let bit = 1 << slot;
        let (busy, later) = (
            self.busy.load(Ordering::Relaxed),
            // Relaxed will do: who cleared the bit did so before it published the answer, which the
            // caller saw before it made this call.
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

    /// One bit for each slot whose call was taken and is neither answered nor left for later, as any thread sees it.
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

    /// Answers the call in `exchange.call`: with what stands in `exchange.reply`, or with an error.
    #[inline(always)]
    pub(super) fn answer(&self, outcome: Result<()>, exchange: &mut Exchange) {
        let ok = outcome.is_ok();
        match outcome {
            // It answers with nothing, whatever may stand there.
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
            // It may have been late, and its memory is looked at when it is settled.
            self.outstanding.may_be_late.store(true, Ordering::Relaxed);
        }
        exchange.tidy(Some(&self.link));
    }

    /// Answers a call that will not be run.
    #[cold]
    pub(super) fn refuse(&self, call: &IncomingCall, error: &Error) {
        self.publish_error((call.ticket, By::Server), error);
    }

    /// Keeps an answer for which there is no space yet.
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

    /// Publishes an answer and wakes its caller if it parked; false while there is no space for it.
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

    /// Publishes an answer whose payload is in its place, which it takes until the peer gives it back.
    fn publish_held(
        &self,
        (ticket, by): (Ticket, By),
        ok: bool,
        (held, length): (Held, usize),
        reply: &mut ReplyBuffer,
    ) {
        let place = held.place();
        // Before the answer can be seen, and with it the slot's next call.
        match by {
            By::Server => self.change(&self.in_blocks, 1 << ticket.slot, true),
            By::Responder => {}
        }
        self.link.keep_reply(ticket, held);
        self.publish_at((ticket, by), ok, (place, length), reply);
        // The caller may have given up before the reply was published.
        self.link.reclaim_replies();
    }

    /// Publishes an answer whose payload is in its place.
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

    /// Publishes, in place of a result for which there is no memory, an error that fits inline.
    #[cold]
    fn publish_no_space(&self, to: (Ticket, By), why: &Error) -> bool {
        let error = match why.code() {
            // It is this plugin that has closed meanwhile: its broker, or the link, is no use any more.
            code if code == Code::Closed || self.link.is_gone() => {
                Error::new(Code::ProviderGone, "the plugin has closed")
            }
            code => Error::new(code, "the handler ran, but its result found no room"),
        };
        let error = error.maybe_run();
        self.note(why);
        self.publish_error(to, &error)
    }

    /// Publishes an error; only its code where its text does not fit inline.
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

/// Puts an error in the place of a result. Where its text does not fit, its code still does.
fn put_error(error: &Error, reply: &mut ReplyBuffer) {
    if reply.put(&ErrorRecord::from(error)).is_err() {
        reply.clear(None);
    }
}
