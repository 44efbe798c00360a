//! The provider's side of one link: takes calls from the peer's ring and publishes the answers.

mod late;

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::envelope::{Call, CallKind, Chain, ChainNames, Place, Reply, Violation};
use callgate_layout::flags::Waiter;
use callgate_layout::pages;
use callgate_layout::pending::Ticket;
use callgate_layout::ring::RingReader;
use callgate_layout::{Code, clock, flags, slot};

use super::exchange::{Exchange, IncomingCall};
use super::grants::PeerGrants;
use crate::base::archive::ErrorRecord;
use crate::base::error::{Error, Result};
use crate::handler::ReplyBuffer;
use crate::link::{Held, Link};

use late::Late;

/// Bytes of late answers that are kept for one link; a single one may be larger.
const MAX_LATE: usize = 8 << 20;

/// Results without room that are noted for one link before somebody says so: as many as there can be
/// answers of one moment.
const MAX_NOTES: usize = 64;

/// The incoming side of a link: what the provider knows of the peer's calls, in memory that the peer
/// cannot change.
pub(crate) struct Incoming {
    key: u64,
    peer: Arc<PeerGrants>,
    link: Arc<Link>,
    reader: RingReader,
    /// One bit for each slot whose call was taken and not answered yet.
    busy: u64,
    /// One bit for each slot whose last answer may still hold room outside its cell.
    in_blocks: u64,
    /// How many calls each slot has borne.
    generations: [u32; 64],
    /// The names of the chains that the peer's calls begin.
    chains: ChainNames,
    late: VecDeque<Late>,
    /// Why results found no room, to be logged where nothing is borrowed: who listens may call
    /// this very plugin.
    notes: Vec<Error>,
}

impl Incoming {
    pub(crate) fn new(key: u64, peer: Arc<PeerGrants>) -> Incoming {
        let link = peer.link().clone();
        let reader = RingReader::new(link.geometry());
        Incoming {
            key,
            chains: link.chains(link.end().other()),
            link,
            peer,
            reader,
            busy: 0,
            in_blocks: 0,
            generations: [0; 64],
            late: VecDeque::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn peer(&self) -> &Arc<PeerGrants> {
        &self.peer
    }

    /// Whether there is a call to take right now.
    #[inline]
    pub(crate) fn has_call(&self) -> bool {
        !self.link.is_gone() && self.reader.has_call(self.link.inbox())
    }

    /// Takes the next call, if there is one.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        into: &mut IncomingCall,
        index: usize,
    ) -> Option<Result<(), Violation>> {
        let call = self.reader.take(self.link.inbox(), &mut into.cell)?;
        Some(call.and_then(|call| self.accept(call, index, into)))
    }

    /// Notes a call in private memory, where the peer cannot change it.
    #[inline(always)]
    fn accept(
        &mut self,
        call: Call,
        index: usize,
        into: &mut IncomingCall,
    ) -> Result<(), Violation> {
        let slot = call.slot;
        let bit = 1 << slot;
        if self.busy & bit != 0 {
            return Err(Violation(
                "a call in a slot whose last call is not answered yet",
            ));
        }
        self.busy |= bit;
        slot::prepare(self.link.outbox(), self.link.geometry(), slot);
        if self.in_blocks & bit != 0 {
            self.in_blocks &= !bit;
            self.link.forget_reply(slot);
        }
        let generation = &mut self.generations[usize::from(slot)];
        *generation = generation.wrapping_add(1);
        let generation = *generation;
        let ticket = Ticket { slot, generation };
        let before = call
            .chain
            .unwrap_or_else(|| self.chains.begun_by(slot, generation));
        (into.key, into.index) = (self.key, index);
        (into.envelope, into.ticket) = (call, ticket);
        into.chain = Chain {
            depth: before.depth.saturating_add(1),
            ..before
        };
        Ok(())
    }

    /// Answers the call in `exchange.call`: with what stands in `exchange.reply`, or with an error. Whether
    /// there may be answers that are late now, or something to say of one.
    #[inline(always)]
    pub(crate) fn answer(&mut self, outcome: Result<()>, exchange: &mut Exchange) -> bool {
        let ok = outcome.is_ok();
        match outcome {
            // It answers with nothing, whatever may stand there.
            Ok(()) if exchange.call.envelope.kind == CallKind::Action => exchange.reply.clear(None),
            Ok(()) => {}
            Err(error) => put_error(&error, &mut exchange.reply),
        }
        let may_be_late = !exchange.reply.is_inline();
        if !self.publish(exchange.call.ticket, ok, &mut exchange.reply) {
            self.keep_late(&exchange.call, ok, &mut exchange.reply);
        }
        exchange.tidy(Some(&self.link));
        may_be_late
    }

    /// Keeps an answer for which there is no room yet.
    #[cold]
    fn keep_late(&mut self, call: &IncomingCall, ok: bool, reply: &mut ReplyBuffer) {
        let waiting: usize = self.late.iter().map(Late::len).sum();
        if !self.late.is_empty() && waiting + reply.bytes().len() > MAX_LATE {
            let error = Error::new(Code::Overloaded, "too many results wait for room");
            self.publish_no_space(call.ticket, &error);
            return;
        }
        if self.late.is_empty() {
            self.link.begin_waiting();
        }
        self.late.push_back(Late {
            ticket: call.ticket,
            ok,
            reply: std::mem::replace(reply, ReplyBuffer::new()),
            deadline: clock::from_tick(call.envelope.deadline, clock::coarse_now()),
        });
    }

    /// Publishes an answer and wakes its caller if it parked; false while the outbox's blocks has no room.
    #[inline(always)]
    fn publish(&mut self, ticket: Ticket, ok: bool, reply: &mut ReplyBuffer) -> bool {
        if let Some(length) = reply.inline_length() {
            self.publish_at(ticket, ok, (Place::Inline, length), reply);
            return true;
        }
        self.publish_large(ticket, ok, reply)
    }

    #[cold]
    fn publish_large(&mut self, ticket: Ticket, ok: bool, reply: &mut ReplyBuffer) -> bool {
        if let Some((room, length)) = reply.take_space() {
            self.publish_held(ticket, ok, (Held::Extent(room), length), reply);
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
                self.publish_held(ticket, ok, (held, reply.bytes().len()), reply);
                true
            }
            Some(Err(error)) => self.publish_no_space(ticket, &error),
        }
    }

    /// Publishes an answer whose payload is in its place, which it takes until it is given back.
    fn publish_held(
        &mut self,
        ticket: Ticket,
        ok: bool,
        (held, length): (Held, usize),
        reply: &mut ReplyBuffer,
    ) {
        self.publish_at(ticket, ok, (held.place(), length), reply);
        self.in_blocks |= 1 << ticket.slot;
        self.link.keep_reply(ticket, held);
    }

    /// Publishes an answer whose payload is in its place.
    #[inline(always)]
    fn publish_at(
        &mut self,
        ticket: Ticket,
        ok: bool,
        (place, length): (Place, usize),
        reply: &mut ReplyBuffer,
    ) {
        let link = &*self.link;
        let (outbox, geometry) = (link.outbox(), link.geometry());
        let Ticket { slot, generation } = ticket;
        let length = length as u32;
        let envelope = Reply { ok, place, length };
        self.busy &= !(1 << slot);
        let cell = reply.cell_mut();
        slot::publish(outbox, geometry, slot, generation, &envelope, cell);
        // REPLY-OR-WAITER, the provider's side.
        pages::publish_fence();
        match flags::waiter(link.inbox(), geometry, slot) {
            Waiter::Nobody => {}
            Waiter::Bell(bell) => link.peer_bell().ring_callers(bell),
            Waiter::Reply => slot::wake(outbox, geometry, slot),
        }
    }

    /// Publishes, in place of a result for which there is no memory, an error that fits inline.
    #[cold]
    fn publish_no_space(&mut self, ticket: Ticket, why: &Error) -> bool {
        let error =
            Error::new(why.code(), "the handler ran, but its result found no room").maybe_run();
        if self.notes.len() < MAX_NOTES {
            self.notes.push(why.clone());
        }
        self.publish_error(ticket, &error)
    }

    /// Publishes an error; only its code where its text does not fit inline.
    #[cold]
    fn publish_error(&mut self, ticket: Ticket, error: &Error) -> bool {
        let mut reply = ReplyBuffer::new();
        put_error(error, &mut reply);
        if !reply.is_inline() {
            reply.clear(None);
        }
        self.publish(ticket, false, &mut reply)
    }
}

/// Puts an error in the place of a result. Where its text does not fit, its code still does.
fn put_error(error: &Error, reply: &mut ReplyBuffer) {
    if reply.put(&ErrorRecord::from(error)).is_err() {
        reply.clear(None);
    }
}
