//! A call that came in, and the memory that it and its answer pass through.

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

/// The index of no incoming side: it is looked for by its key.
const NOWHERE: usize = usize::MAX;

/// A call that was taken from a ring. It is filled in place, where its handler will find it.
#[derive(Clone, Debug)]
pub(crate) struct IncomingCall {
    /// The incoming side of a link that took it, and where that stood among the others then: nowhere where
    /// the call was in a queue, or is none.
    pub(crate) key: u64,
    pub(crate) index: usize,
    pub(crate) envelope: Call,
    pub(crate) ticket: Ticket,
    /// The name of the chain that it begins, or would.
    pub(crate) name: u64,
    /// The chain that its handler is in.
    pub(crate) chain: Chain,
    /// Whether its gate's handlers may run on top of another chain's wait.
    pub(crate) is_reentrant: bool,
    /// What lies inline of it.
    pub(crate) cell: Cell,
}

impl IncomingCall {
    /// Space for a call. Until one was taken, and after one that breaks the protocol, it holds none.
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

    /// The call as it lies in a queue.
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

    /// How it asks for one of its gate's permits.
    #[inline]
    pub(crate) fn asks(&self) -> Asks {
        match (self.envelope.chain, self.has_waited()) {
            (Some(_), _) => Asks::Chain,
            (None, true) => Asks::Queue,
            (None, false) => Asks::First,
        }
    }
}

/// A call, and the memory that its parameters and its answer pass through: used for one call after the
/// other.
pub(crate) struct Exchange {
    pub(crate) call: IncomingCall,
    pub(crate) request: Buffer,
    pub(crate) reply: ReplyBuffer,
    /// What the call has of its gate's limit while its handler runs.
    pub(crate) taken: Option<Taken>,
    /// The limit that it met, for who then puts it off.
    pub(crate) met: Option<Arc<Limit>>,
    /// Whether others of its gate wait for its end in the scheduler.
    pub(crate) is_awaited: bool,
}

impl Exchange {
    /// Counts the call as under way; false, with the limit noted, where there are as many as may be.
    pub(crate) fn enter(&mut self, limit: &Arc<Limit>) -> bool {
        self.taken = limit.enter(self.call.chain.id, self.call.asks());
        let is_in = self.taken.is_some();
        if !is_in {
            self.met = Some(limit.clone());
        }
        is_in
    }

    /// The call is under way no more, unless its answer was left for later.
    pub(crate) fn leave(&mut self, limit: &Limit) {
        if let Some(taken) = self.taken.take() {
            self.is_awaited = limit.end(taken);
        }
    }

    /// Passes the memory of large payloads on: to the plugin's pool, or where the link that they came
    /// through is gone, to the system.
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
