//! Frames: running the handler of a call that was taken from a ring.

mod elsewhere;
mod tables;

use std::sync::Arc;

use callgate_layout::envelope::{Call, CallKind, Place, Violation};
use callgate_layout::pages::Status;
use callgate_layout::{Code, Encoding, Encodings, clock};

use super::answers::Answers;
use super::counter::Counter;
use super::exchange::Exchange;
use super::gate::Gate;
use super::grants::{Callable, not_granted};
use super::incoming::Incoming;
use crate::base::chain::{self, too_deep};
use crate::base::debug;
use crate::base::due::Due;
use crate::base::error::{Error, Result};
use crate::base::trace;
use crate::handler::context::Context;
use crate::handler::payload::Payload;
use crate::handler::{ErasedHandler, HandlerKind, takes_only};
use crate::link::Link;
use crate::link::own_memory::OwnMemory;
use elsewhere::Large;
use tables::renewed;

/// What is needed to serve one call at a time. Each call that is under way on a stack has its own frame.
///
/// A frame has its own copies of what may be called, so that a handler stays in place while it runs, whatever is
/// withdrawn or granted meanwhile.
#[derive(Default)]
pub(crate) struct Frame {
    pub(crate) version: u64,
    tables: Vec<Table>,
    /// The tables of links from which no more calls are taken.
    closed: Vec<Table>,
    pub(crate) exchange: Exchange,
}

/// What one peer may call, and how it is answered.
pub(crate) struct Table {
    key: u64,
    link: Arc<Link>,
    answers: Arc<Answers>,
    /// The memory of the plugin to which the link belongs: calls are counted in its status page.
    memory: Arc<OwnMemory>,
    /// The plugin's version when this was copied.
    version: u64,
    /// The number of changes of gates, and of the peer's grants, when this was copied.
    changes: (u64, u64),
    gates: Vec<Callable>,
}

impl Frame {
    /// Renews the copies of what has changed, in the order of the scheduler's links, and the copies for links from
    /// which no more calls are taken. Returns the old copies, because values that handlers have captured must be
    /// dropped where nothing is borrowed.
    pub(crate) fn refresh(
        &mut self,
        (sides, closed): (&[Incoming], &[Incoming]),
        version: u64,
    ) -> Vec<Table> {
        self.version = version;
        let mut gone = self.refresh_open(sides);
        gone.append(&mut self.closed);
        // These are few, and soon gone.
        for side in closed {
            let known = gone.iter().position(|table| table.key == side.key());
            let known = known.map(|at| gone.swap_remove(at));
            self.closed.push(renewed(side, known, &mut gone));
        }
        gone
    }

    fn refresh_open(&mut self, sides: &[Incoming]) -> Vec<Table> {
        let (mut gone, mut tables) = (Vec::new(), Vec::with_capacity(sides.len()));
        // Both are sorted by key.
        let mut old = std::mem::take(&mut self.tables).into_iter().peekable();
        for side in sides {
            while let Some(table) = old.next_if(|table| table.key < side.key()) {
                gone.push(table);
            }
            let known = old.next_if(|table| table.key == side.key());
            tables.push(renewed(side, known, &mut gone));
        }
        gone.extend(old);
        self.tables = tables;
        gone
    }

    fn all_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().chain(&self.closed)
    }

    /// Answers the call in `exchange.call` with an error if its link is only in these old copies, because its
    /// plugin is served no more.
    #[cold]
    pub(crate) fn refuse_gone(&self, old: &[Table]) {
        let call = &self.exchange.call;
        let is_it = |table: &&Table| table.key == call.key;
        if self.all_tables().any(|table| is_it(&table)) {
            return;
        }
        if let Some(table) = old.iter().find(is_it) {
            table.answers.refuse(call, &closed());
        }
    }

    /// Runs the handler of the call in `exchange.call` and answers it. Before the answer, passes to `count` whether
    /// the handler failed.
    #[inline(always)]
    pub(crate) fn serve(
        &mut self,
        together: bool,
        count: impl FnOnce(&Status, bool),
    ) -> Result<Served, Violation> {
        let Frame {
            tables, exchange, ..
        } = self;
        let is_it = |table: &&Table| table.key == exchange.call.key;
        match tables.get(exchange.call.index).filter(is_it) {
            Some(table) => table.serve(exchange, together, count),
            None => self.serve_elsewhere(together, count),
        }
    }

    /// As [`Frame::serve`], for a call that was in a queue.
    #[cold]
    fn serve_elsewhere(
        &mut self,
        together: bool,
        count: impl FnOnce(&Status, bool),
    ) -> Result<Served, Violation> {
        let Frame {
            tables,
            closed,
            exchange,
            ..
        } = self;
        let is_it = |table: &&Table| table.key == exchange.call.key;
        if let Some(table) = tables.iter().find(is_it) {
            return table.serve(exchange, together, count);
        }
        let Some(table) = closed.iter().find(is_it) else {
            return Ok(Served::Nowhere);
        };
        let served = table.serve(exchange, together, count);
        table.answers.may_be_last();
        served
    }
}

/// The outcome of running a handler.
enum Outcome {
    /// The answer; a result is in the exchange's reply.
    Answer(Result<()>),
    /// The call is answered later. Whether the handler panicked.
    Later(bool),
    /// It was not run, because its gate's limit is reached.
    Full,
}

/// The outcome of a call that is answered without being run.
#[cold]
fn refused(error: Error) -> Result<Outcome, Violation> {
    Ok(Outcome::Answer(Err(error)))
}

/// The error for a call that was not run because its plugin has closed.
#[cold]
pub(crate) fn closed() -> Error {
    let text = "the plugin has closed; the call was not run";
    Error::new(Code::ProviderGone, text)
}

/// What has become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It was answered.
    Here,
    /// Its link is not in this frame any more.
    Nowhere,
    /// It has to wait, because its gate's limit is reached.
    Full,
}

impl Table {
    /// Runs the handler of the call in the exchange, and answers the call.
    #[inline(always)]
    fn serve(
        &self,
        exchange: &mut Exchange,
        together: bool,
        count: impl FnOnce(&Status, bool),
    ) -> Result<Served, Violation> {
        let status = &self.memory.status;
        let counter = Counter { status, together };
        let outcome = match exchange.call.envelope.encoding {
            Encoding::Archive => self.run::<false>(exchange, counter)?,
            Encoding::Json => self.run_json(exchange, counter)?,
        };
        match outcome {
            Outcome::Answer(outcome) => {
                count(status, outcome.is_err());
                self.answers.answer(outcome, exchange);
            }
            Outcome::Later(failed) => {
                count(status, failed);
                exchange.tidy(Some(&self.link));
            }
            Outcome::Full => return Ok(Served::Full),
        }
        Ok(Served::Here)
    }

    /// Runs a call in JSON. Kept apart from other calls; the code is the same except for the constant.
    #[cold]
    #[inline(never)]
    fn run_json(
        &self,
        exchange: &mut Exchange,
        counter: Counter<'_>,
    ) -> Result<Outcome, Violation> {
        self.run::<true>(exchange, counter)
    }

    #[inline(always)]
    fn run<const JSON: bool>(
        &self,
        exchange: &mut Exchange,
        counter: Counter<'_>,
    ) -> Result<Outcome, Violation> {
        let call = &exchange.call;
        let now = clock::coarse_now();
        let deadline = clock::from_tick(call.envelope.deadline, now);
        if now >= deadline && !debug::is_on() {
            let text = "the call's deadline had passed when it was its turn; it was not run";
            return refused(Error::new(Code::Timeout, text));
        }
        let (gate, handler) = match self.handler::<JSON>(&call.envelope) {
            Ok(found) => found,
            Err(error) => return refused(error),
        };
        if let Some(limit) = gate.limit()
            && !exchange.enter(limit)
        {
            return Ok(Outcome::Full);
        }
        let outcome = self.run_handler::<JSON>((gate, handler), exchange, (counter, deadline));
        if let Some(limit) = gate.limit() {
            // Before the answer, so that the caller can make its next call at once.
            exchange.leave(limit);
        }
        outcome
    }

    #[inline(always)]
    fn run_handler<const JSON: bool>(
        &self,
        (gate, handler): (&Gate, &dyn ErasedHandler),
        exchange: &mut Exchange,
        (counter, deadline): (Counter<'_>, u64),
    ) -> Result<Outcome, Violation> {
        let Exchange {
            call,
            request,
            reply,
            taken,
            ..
        } = exchange;
        let (envelope, link) = (&call.envelope, &self.link);
        let Some(_entered) = chain::enter(call.chain, Due::at(deadline)) else {
            return refused(too_deep());
        };
        let _span = trace::handle(gate.name(), link.peer().name());
        let context = Context::of_call(link, gate.name(), (call.ticket, deadline));
        let is_nested = envelope.chain.is_some();
        // The result of an action is dropped.
        let reply = (envelope.kind == CallKind::Function).then_some(reply);
        if JSON {
            counter.note_json(gate, link.peer().name());
        }
        match handler.kind() {
            HandlerKind::Archived => {}
            HandlerKind::InPlace(_) if JSON => return refused(takes_only(Encodings::ARCHIVE)),
            HandlerKind::InPlace(handler) => {
                let inline = call.cell.payload(is_nested);
                let inline = &inline[..(envelope.length as usize).min(inline.len())];
                let outcome = link.view_payload((envelope.place, envelope.length), |view| {
                    let payload = Payload::new(view, inline);
                    counter.counted(gate, || handler.call(&context, payload, reply))
                });
                return outcome.map(Outcome::Answer);
            }
            HandlerKind::Later(handler) => {
                let run = |responder, bytes: &[u8]| {
                    counter.counted(gate, || {
                        handler.call(&context, bytes, responder);
                        Ok(())
                    })
                };
                let limit = gate.limit_of_calls();
                let permit = limit.and_then(|limit| Some(limit.keep(taken.take()?)));
                return self.run_later(call, (deadline, permit), request, run);
            }
        }
        if envelope.place != Place::Inline {
            let memory = (request, reply);
            let large = Large {
                gate,
                handler,
                context: &context,
                counter,
            };
            let outcome = match JSON {
                true => self.run_large_json(large, envelope, memory),
                false => self.run_large(large, envelope, memory),
            };
            return outcome.map(Outcome::Answer);
        }
        let bytes = &call.cell.payload(is_nested)[..envelope.length as usize];
        let outcome = counter.counted(gate, || match JSON {
            true => handler.call_json(&context, bytes, reply),
            false => handler.call(&context, bytes, reply),
        });
        Ok(Outcome::Answer(outcome))
    }

    #[inline(always)]
    fn handler<const JSON: bool>(&self, call: &Call) -> Result<(&Gate, &dyn ErasedHandler)> {
        let callable = self.gates.get(usize::from(call.gate));
        let callable = callable.ok_or_else(not_granted)?;
        match JSON {
            true => callable.json_handler(call.kind),
            false => callable.handler(call.kind),
        }
    }
}
