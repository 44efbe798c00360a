//! The calls that a thread is ready to serve.

use crate::serve::exchange::IncomingCall;

/// The calls that a thread is ready to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// Calls of one chain, because the thread waits inside it.
    Chain(u64),
    /// Calls of one chain, and calls of re-entrant gates of whatever chain.
    Inside(u64),
}

impl Wanted {
    #[inline]
    pub(super) fn has(self, call: &IncomingCall) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Chain(id) => call.chain.id == id,
            Wanted::Inside(id) => call.chain.id == id || call.is_reentrant,
        }
    }
}
