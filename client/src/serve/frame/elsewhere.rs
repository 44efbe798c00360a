//! Calls whose request does not lie in the ring entry, and calls that are answered later.

use std::sync::Arc;

use callgate_layout::buffer::Buffer;
use callgate_layout::envelope::{Call, Place, Violation};

use super::{Outcome, Table, refused};
use crate::base::buffers::no_memory;
use crate::base::error::Result;
use crate::handler::context::Context;
use crate::handler::responder::{Deferred, Responder};
use crate::handler::{ErasedHandler, ReplyBuffer};
use crate::serve::counter::Counter;
use crate::serve::exchange::IncomingCall;
use crate::serve::gate::Gate;
use crate::serve::limits::Permit;
use crate::serve::stack;

/// A call whose request does not lie in the ring entry, and what is needed to run it.
pub(super) struct Large<'a> {
    pub(super) gate: &'a Gate,
    pub(super) handler: &'a dyn ErasedHandler,
    pub(super) context: &'a Context<'a>,
    pub(super) counter: Counter<'a>,
}

impl Table {
    /// Runs a handler that answers later.
    #[cold]
    pub(super) fn run_later(
        &self,
        call: &IncomingCall,
        (deadline, permit): (u64, Option<Permit>),
        request: &mut Buffer,
        run: impl FnOnce(Responder, &[u8]) -> Result<()>,
    ) -> Result<Outcome, Violation> {
        let envelope = &call.envelope;
        let (place, length) = (envelope.place, envelope.length);
        let bytes = match place {
            Place::Inline => {
                &call.cell.payload(envelope.chain.is_some())[..envelope.length as usize]
            }
            _ => match self.link.read_payload(place, length, request)? {
                Ok(()) => &request[..],
                Err(why) => return refused(no_memory(why, "arguments; the call was not run")),
            },
        };
        let deferred = Deferred {
            ticket: call.ticket,
            kind: envelope.kind,
            encoding: envelope.encoding,
            deadline,
        };
        stack::leave_for_later();
        // The permit is held until the handler has returned and the call was answered, whichever comes last.
        let permit = permit.map(Arc::new);
        self.answers.defer(call.ticket, permit.clone());
        let answers = Arc::downgrade(&self.answers);
        let responder = Responder::new(answers, deferred);
        let failed = run(responder, bytes).is_err();
        if let Some(permit) = permit {
            permit.leave();
        }
        // If it failed, its responder has reported that.
        Ok(Outcome::Later(failed))
    }

    /// Runs a handler whose request does not lie in the ring entry.
    #[cold]
    pub(super) fn run_large(
        &self,
        large: Large<'_>,
        call: &Call,
        (request, reply): (&mut Buffer, Option<&mut ReplyBuffer>),
    ) -> Result<Result<()>, Violation> {
        let Large {
            gate,
            handler,
            context,
            counter,
        } = large;
        if let Some(run) = handler.take_direct(&self.link, (call.place, call.length))? {
            return Ok(counter.counted(gate, || run(context, reply)));
        }
        if let Err(why) = self.link.read_payload(call.place, call.length, request)? {
            return Ok(Err(no_memory(why, "arguments; the call was not run")));
        }
        Ok(counter.counted(gate, || handler.call(context, request, reply)))
    }

    /// As `run_large`, for a call in JSON, which is read from a private copy.
    #[cold]
    pub(super) fn run_large_json(
        &self,
        large: Large<'_>,
        call: &Call,
        (request, reply): (&mut Buffer, Option<&mut ReplyBuffer>),
    ) -> Result<Result<()>, Violation> {
        let Large {
            gate,
            handler,
            context,
            counter,
        } = large;
        if let Err(why) = self.link.read_payload(call.place, call.length, request)? {
            return Ok(Err(no_memory(why, "arguments; the call was not run")));
        }
        Ok(counter.counted(gate, || handler.call_json(context, request, reply)))
    }
}
