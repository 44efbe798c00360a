//! A call that came in, and the memory that it and its answer pass through.

use callgate_layout::buffer::Buffer;
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, Place};
use callgate_layout::pending::Ticket;

use crate::base::buffers::KEEP;
use crate::handler::ReplyBuffer;
use crate::link::Link;

/// A call that was taken from a ring. It is filled in place, where its handler will find it.
#[derive(Clone, Debug)]
pub(crate) struct IncomingCall {
    /// The incoming side of a link that took it, and where that stood among the others then.
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
            index: usize::MAX,
            envelope: Call {
                gate: 0,
                slot: 0,
                kind: CallKind::Function,
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
}

/// A call, and the memory that its parameters and its answer pass through: used for one call after the
/// other.
pub(crate) struct Exchange {
    pub(crate) call: IncomingCall,
    pub(crate) request: Buffer,
    pub(crate) reply: ReplyBuffer,
}

impl Exchange {
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
        }
    }
}
