//! A call that came in, with the memory for its request and its answer.

use std::sync::Arc;

use callgate_layout::Encoding;
use callgate_layout::buffer::Buffer;
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, Place};
use callgate_layout::pending::Ticket;
use callgate_layout::permits::Asks;

use super::limits::{Limit, Taken};
use crate::base::buffers::KEEP;
use crate::handler::ReplyBuffer;
use crate::link::Link;

/// The index of a call whose incoming side has to be found by its key.
const NOWHERE: usize = usize::MAX;

/// A call that was taken from a ring. It is filled in place, where its handler reads it.
#[derive(Clone, Debug)]
pub(crate) struct IncomingCall {
    /// The key of the link's incoming side that took it, and the index of that side then; `NOWHERE` if the call was
    /// in a queue, or there is none.
    pub(crate) key: u64,
    pub(crate) index: usize,
    pub(crate) envelope: Call,
    pub(crate) ticket: Ticket,
    /// The name of the chain that the call begins, or would begin if it were not part of one.
    pub(crate) name: u64,
    /// The chain to which its handler belongs.
    pub(crate) chain: Chain,
    /// Whether its gate is re-entrant.
    pub(crate) is_reentrant: bool,
    /// The cell with its inline payload.
    pub(crate) cell: Cell,
}

impl IncomingCall {
    /// Space for a call. It holds none until one was taken, and after one that breaks the protocol.
    pub(crate) fn none() -> IncomingCall {
        IncomingCall {
            key: u64::MAX,
            index: NOWHERE,
            envelope: Call {
                gate: 0,
                slot: 0,
                kind: CallKind::Function,
                encoding: Encoding::Archive,
                place: Place::Inline,
                length: 0,
                deadline: 0,
                chain: None,
            },
            ticket: Ticket {
                slot: 0,
                generation: 0,
            },
            name: 0,
            chain: Chain { id: 0, depth: 0 },
            is_reentrant: false,
            cell: Cell::default(),
        }
    }

    /// A copy of the call for a queue.
    pub(crate) fn waiting(&self) -> IncomingCall {
        IncomingCall {
            index: NOWHERE,
            ..self.clone()
        }
    }

    /// Whether it was in a queue.
    pub(crate) fn has_waited(&self) -> bool {
        self.index == NOWHERE
    }

    /// How it asks for a permit of its gate.
    #[inline]
    pub(crate) fn asks(&self) -> Asks {
        match (self.envelope.chain, self.has_waited()) {
            (Some(_), _) => Asks::Chain,
            (None, true) => Asks::Queue,
            (None, false) => Asks::First,
        }
    }
}

/// A call, and the memory for its request and its answer, which is used for one call after the other.
pub(crate) struct Exchange {
    pub(crate) call: IncomingCall,
    pub(crate) request: Buffer,
    pub(crate) reply: ReplyBuffer,
    /// The call's share in its gate's limit while its handler runs.
    pub(crate) taken: Option<Taken>,
    /// The limit that was reached, for the caller who then puts the call off.
    pub(crate) met: Option<Arc<Limit>>,
    /// Whether other calls of its gate wait in the scheduler for the end of this one.
    pub(crate) is_awaited: bool,
}

impl Exchange {
    /// Takes a permit for the call. Returns `false`, and notes the limit, if the limit is reached.
    pub(crate) fn enter(&mut self, limit: &Arc<Limit>) -> bool {
        self.taken = limit.enter(self.call.chain.id, self.call.asks());
        let is_in = self.taken.is_some();
        if !is_in {
            self.met = Some(limit.clone());
        }
        is_in
    }

    /// Gives the call's permit back, unless its answer was left for later.
    pub(crate) fn leave(&mut self, limit: &Limit) {
        if let Some(taken) = self.taken.take() {
            self.is_awaited = limit.end(taken);
        }
    }

    /// Passes the memory of large payloads on to the plugin's pool, or to the system if the link through which they
    /// came has ended.
    #[inline]
    pub(crate) fn tidy(&mut self, link: Option<&Link>) {
        self.reply.clear(link);
        if self.request.capacity() > KEEP {
            self.recycle(link);
        }
    }

    #[cold]
    fn recycle(&mut self, link: Option<&Link>) {
        match link {
            Some(link) => link.recycle(&mut self.request),
            None => self.request = Buffer::new(),
        }
    }
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange {
            call: IncomingCall::none(),
            request: Buffer::new(),
            reply: ReplyBuffer::new(),
            taken: None,
            met: None,
            is_awaited: false,
        }
    }
}
