//! Which calls somebody is ready to serve.

use crate::serve::exchange::IncomingCall;

/// Which calls somebody is ready to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// Those of one chain, because this thread waits inside it.
    Chain(u64),
    /// The same, and those of re-entrant gates, whatever their chain.
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
