//! The provider's side of one link: takes calls from the peer's ring, runs their handlers and
//! publishes the answers. Private to the dispatcher's thread.

mod late;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use callgate_layout::envelope::{Call, Cell, Face, Place, Reply, Violation};
use callgate_layout::geometry::INLINE_LEN;
use callgate_layout::parking;
use callgate_layout::payload::extent_len_for;
use callgate_layout::pending::Ticket;
use callgate_layout::ring::RingReader;
use callgate_layout::{Code, clock, marks, slot};
use rkyv::util::AlignedVec;

use crate::archive::ErrorRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::extents::too_large;
use crate::gates::{Gate, Served};
use crate::handler::ReplyBuffer;
use crate::link::Link;
use crate::raw::Payload;

use late::Late;

/// Keep at most this much memory for the next large payload.
const KEEP: usize = 64 << 10;
/// Bytes of late answers that are kept for one link; a single one may be larger.
const MAX_LATE: usize = 8 << 20;

/// What serving a call needs besides the link; one set a dispatcher.
pub(crate) struct Tools {
    cell: Cell,
    request: AlignedVec,
    reply: ReplyBuffer,
}

impl Tools {
    pub(crate) fn new() -> Tools {
        Tools {
            cell: Cell::default(),
            request: AlignedVec::new(),
            reply: ReplyBuffer::new(),
        }
    }
}

/// The dispatcher's private half of a link.
pub(crate) struct Server {
    link: Arc<Link>,
    reader: RingReader,
    /// One bit for each slot whose call was taken and not answered yet.
    busy: u64,
    /// One bit for each slot whose last answer may still hold room outside its cell.
    in_area: u64,
    /// How many calls each slot has borne.
    generations: [u32; 64],
    late: VecDeque<Late>,
    table: Vec<Option<Gate>>,
}

impl Server {
    pub(crate) fn new(link: Arc<Link>) -> Server {
        let reader = RingReader::new(link.geometry());
        Server {
            link,
            reader,
            busy: 0,
            in_area: 0,
            generations: [0; 64],
            late: VecDeque::new(),
            table: Vec::new(),
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Takes a new copy of what the peer may call.
    pub(crate) fn refresh(&mut self, served: &Served) {
        self.table = self.link.callable(|name| served.look_up(name));
    }

    /// Whether there is something to do right now.
    pub(crate) fn has_work(&self) -> bool {
        !self.link.is_gone() && self.reader.has_call(self.link.inbox())
    }

    /// When the next late answer's time is up.
    pub(crate) fn late_deadline(&self) -> Option<u64> {
        self.late.iter().map(|late| late.deadline).min()
    }

    /// Serves at most one call; false when there was none. `version` is the one of which this
    /// has copies.
    #[inline]
    pub(crate) fn serve_next(
        &mut self,
        tools: &mut Tools,
        served: &Served,
        version: u64,
    ) -> Result<bool, Violation> {
        let Some(call) = self.reader.take(self.link.inbox(), &mut tools.cell) else {
            return Ok(false);
        };
        let call = call?;
        // SERVED-CHANGED, once the call is seen: it may have been made for a grant that is
        // younger than the table.
        if served.version() != version {
            self.refresh(served);
        }
        let ticket = self.accept(call.slot)?;
        let outcome = self.run(&call, tools)?;
        served.status.count_call(outcome.is_err());
        self.answer(ticket, &call, outcome, tools);
        Ok(true)
    }

    /// Notes a call in private memory, where the peer cannot change it.
    #[inline]
    fn accept(&mut self, slot: u8) -> Result<Ticket, Violation> {
        let bit = 1 << slot;
        if self.busy & bit != 0 {
            return Err(Violation(
                "a call in a slot whose last call is not answered yet",
            ));
        }
        self.busy |= bit;
        if self.in_area & bit != 0 {
            self.in_area &= !bit;
            self.link.forget_reply(slot);
        }
        let generation = &mut self.generations[usize::from(slot)];
        *generation = generation.wrapping_add(1);
        Ok(Ticket {
            slot,
            generation: *generation,
        })
    }

    /// Runs the handler; the archived result stands in `tools.reply`.
    fn run(&self, call: &Call, tools: &mut Tools) -> Result<Result<()>, Violation> {
        let now = clock::coarse_now();
        let deadline = clock::from_tick(call.deadline, now);
        if now >= deadline {
            return Ok(Err(Error::new(
                Code::Timeout,
                "the call's deadline had passed when it was its turn; it was not run",
            )));
        }
        let (gate, handler) = match self.handler(call) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let context = Context::new(self.link.peer(), gate.name(), deadline);
        let Tools {
            cell,
            request,
            reply,
        } = tools;
        if let Some(handler) = handler.in_place() {
            let view = self.link.view_payload(call.place, call.length)?;
            let inline = &cell.inline()[..(call.length as usize).min(INLINE_LEN)];
            let payload = Payload::new(view.as_ref(), inline);
            return Ok(guarded(gate, || handler.call(context, payload, reply)));
        }
        let bytes = match call.place {
            Place::Inline => &cell.inline()[..call.length as usize],
            place => {
                self.link.read_payload(place, call.length, request)?;
                request
            }
        };
        Ok(guarded(gate, || handler.call(context, bytes, reply)))
    }

    fn handler(&self, call: &Call) -> Result<(&Gate, &dyn crate::handler::ErasedHandler)> {
        let Some(entry) = self.table.get(usize::from(call.gate)) else {
            return Err(Error::new(
                Code::PermissionDenied,
                "no such gate was granted on this link",
            ));
        };
        let gate = entry.as_ref().ok_or_else(|| not_provided(call.face))?;
        let handler = gate
            .handler(call.face)
            .ok_or_else(|| not_provided(call.face))?;
        Ok((gate, handler))
    }

    fn answer(&mut self, ticket: Ticket, call: &Call, outcome: Result<()>, tools: &mut Tools) {
        let ok = outcome.is_ok();
        match outcome {
            // Nobody looks at what an action returned.
            Ok(()) if call.face == Face::Action => tools.reply.clear(KEEP),
            Ok(()) => {}
            Err(error) => put_error(&error, &mut tools.reply),
        }
        let length = tools.reply.bytes().len();
        let is_too_large = extent_len_for(length).is_none();
        if is_too_large {
            let error = too_large(Code::ResponseTooLarge, "results", length);
            put_error(&error.maybe_run(), &mut tools.reply);
        }
        self.publish_or_keep(ticket, ok && !is_too_large, call.deadline, tools);
    }

    fn publish_or_keep(&mut self, ticket: Ticket, ok: bool, deadline: u32, tools: &mut Tools) {
        if !self.publish(ticket, ok, tools.reply.bytes(), &mut tools.cell) {
            let waiting: usize = self.late.iter().map(|late| late.payload.len()).sum();
            if !self.late.is_empty() && waiting + tools.reply.bytes().len() > MAX_LATE {
                let error = Error::new(Code::Overloaded, "too many results wait for room");
                self.publish_no_room(ticket, &error, &mut tools.cell);
                return tools.reply.clear(KEEP);
            }
            let deadline = clock::from_tick(deadline, clock::coarse_now());
            let payload = tools.reply.bytes().to_vec();
            if self.late.is_empty() {
                self.link.begin_waiting();
            }
            self.late.push_back(Late {
                ticket,
                ok,
                payload,
                deadline,
            });
        }
        tools.reply.clear(KEEP);
        if tools.request.capacity() > KEEP {
            tools.request = AlignedVec::new();
        }
    }

    /// Publishes an answer and wakes its caller if it parked; false while the area has no room.
    #[inline]
    fn publish(&mut self, ticket: Ticket, ok: bool, payload: &[u8], cell: &mut Cell) -> bool {
        let link = &*self.link;
        let (outbox, geometry) = (link.outbox(), link.geometry());
        let mut held = None;
        let place = if payload.len() <= INLINE_LEN {
            cell.inline_mut()[..payload.len()].copy_from_slice(payload);
            Place::Inline
        } else {
            let mut written = link.write_payload(payload);
            if written.is_none() {
                link.reclaim_replies();
                written = link.write_payload(payload);
            }
            match written {
                None => return false,
                Some(Ok(taken)) => held.insert(taken).place(),
                Some(Err(error)) => return self.publish_no_room(ticket, &error, cell),
            }
        };
        let reply = Reply {
            ok,
            place,
            length: payload.len() as u32,
        };
        self.busy &= !(1 << ticket.slot);
        slot::publish(
            outbox,
            geometry,
            ticket.slot,
            ticket.generation,
            &reply,
            cell,
        );
        // REPLY-OR-WAITER, the provider's side.
        parking::publish_fence();
        if marks::has_waiter(link.inbox(), geometry, ticket.slot) {
            slot::wake(outbox, geometry, ticket.slot);
        }
        if let Some(held) = held {
            self.in_area |= 1 << ticket.slot;
            link.keep_reply(ticket, held);
        }
        true
    }

    /// Publishes, in place of a result for which there is no memory, an error that fits inline.
    #[cold]
    fn publish_no_room(&mut self, ticket: Ticket, why: &Error, cell: &mut Cell) -> bool {
        let error =
            Error::new(why.code(), "the handler ran, but its result found no room").maybe_run();
        tracing::warn!(peer = self.link.peer().name(), %why, "a result found no room");
        let mut reply = ReplyBuffer::new();
        put_error(&error, &mut reply);
        if reply.bytes().len() > INLINE_LEN {
            reply.clear(0);
        }
        self.publish(ticket, false, reply.bytes(), cell)
    }
}

/// Puts an error in the place of a result. Where its text does not fit, its code still does.
fn put_error(error: &Error, reply: &mut ReplyBuffer) {
    if reply.put(&ErrorRecord::from(error)).is_err() {
        reply.clear(KEEP);
    }
}

/// Runs a handler; a panic ends the call and nothing else.
#[inline]
fn guarded(gate: &Gate, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    outcome.unwrap_or_else(|panic| Err(panicked(gate.name(), &*panic)))
}

fn not_provided(face: Face) -> Error {
    let half = match face {
        Face::Function => "function",
        Face::Action => "action",
    };
    Error::new(Code::NotReady, format!("the gate has no {half} now"))
}

fn panicked(gate: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::warn!(gate, panic = text, "a handler panicked");
    Error::new(
        Code::HandlerPanicked,
        format!("the handler panicked: {text}"),
    )
    .maybe_run()
}
