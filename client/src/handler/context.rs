//! The context of a call, for its handler.

use std::time::Duration;

use callgate_layout::clock::{coarse_now, now};
use callgate_layout::flags;
use callgate_layout::pending::Ticket;

use crate::base::cancel::CancelToken;
use crate::base::chain;
use crate::link::Link;
use crate::link::peer::Caller;

/// Facts about the call that a handler serves: the caller, the gate, the time that is left.
///
/// A handler that wants it takes it as its first parameter:
///
/// ```
/// use callgate_client::{Context, Handler};
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(|context: Context<'_>, n: u32| format!("{} says {n}", context.caller().name()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    caller: &'a Caller,
    gate: &'a str,
    deadline: u64,
    waits: Waits<'a>,
}

/// How a handler can find out whether the caller still waits.
#[derive(Clone, Copy, Debug)]
enum Waits<'a> {
    /// The caller is at the other end of a link: in the flags of its pending call.
    There(&'a Link, Ticket),
    /// The caller waits on this very thread, with a token that may cancel the call.
    Here(Option<&'a CancelToken>),
}

impl<'a> Context<'a> {
    /// The context of a call that came through a link. `deadline` is in nanoseconds of `CLOCK_MONOTONIC`.
    #[inline]
    pub(crate) fn of_call(
        link: &'a Link,
        gate: &'a str,
        (ticket, deadline): (Ticket, u64),
    ) -> Context<'a> {
        Context {
            caller: link.peer(),
            gate,
            deadline,
            waits: Waits::There(link, ticket),
        }
    }

    /// The context of a call whose caller waits on this thread.
    #[inline]
    pub(crate) fn here(
        caller: &'a Caller,
        gate: &'a str,
        deadline: u64,
        cancel: Option<&'a CancelToken>,
    ) -> Context<'a> {
        Context {
            caller,
            gate,
            deadline,
            waits: Waits::Here(cancel),
        }
    }

    /// The link through which the call came; `None` for a direct call.
    #[inline]
    pub(crate) fn link(&self) -> Option<&'a Link> {
        match self.waits {
            Waits::There(link, _) => Some(link),
            Waits::Here(_) => None,
        }
    }

    /// The plugin that calls. The library knows it from the link, so a caller cannot pretend to be another plugin.
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The gate that is called.
    pub fn gate(&self) -> &'a str {
        self.gate
    }

    /// The time until the call's deadline, to within a tick of the kernel (some milliseconds).
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(coarse_now()))
    }

    /// Whether the call's deadline has passed.
    pub fn deadline_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Whether nobody waits for the answer any more: the caller gave up (because of its
    /// [`CancelToken`](crate::CancelToken) or its deadline), or has ended. Nothing else stops a long handler, so it
    /// should call this from time to time and return early.
    ///
    /// It turns true as soon as the caller's thread has given up, mostly within a tenth of a millisecond after the
    /// deadline or the token; as soon as this process knows that a caller was killed, after about a millisecond;
    /// and in a direct call, whose caller waits on this very thread, once the deadline has passed or the token is
    /// cancelled. It costs one load for a call through a link, and a look at the clock in a direct call.
    pub fn is_cancelled(&self) -> bool {
        match self.waits {
            // A caller that releases an answer before there is one has given up.
            Waits::There(link, ticket) => {
                let (slot, generation) = (ticket.slot, ticket.generation);
                link.is_gone()
                    || flags::is_released(link.inbox(), link.geometry(), slot, generation)
            }
            // The caller cannot give up by itself: it gets what this handler returns.
            Waits::Here(token) => {
                token.is_some_and(CancelToken::is_cancelled) || now() >= self.deadline
            }
        }
    }

    /// How many handlers of this chain of calls are under way, this one included: 1 if the caller is no handler
    /// itself; at most 64.
    pub fn depth(&self) -> u8 {
        chain::current().map_or(0, |chain| chain.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes() {
        let caller = Caller {
            name: "Rack".to_owned(),
            display_name: "The rack".to_owned(),
            version: "1".to_owned(),
            pid: 1,
            plugin: 2,
        };
        let context = |deadline| Context::here(&caller, "Rack.Filter", deadline, None);
        let passed = context(coarse_now());
        let context = context(coarse_now() + 10_000_000_000);
        assert!(!context.deadline_passed());
        assert!(context.remaining() > Duration::from_secs(5));
        assert!(passed.deadline_passed() && passed.is_cancelled() && !context.is_cancelled());
    }
}
