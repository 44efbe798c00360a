//! Options of a gate.

use callgate_layout::permits::MOST;

/// How calls of a gate are run; set by [`Plugin::set_gate_options`](crate::Plugin::set_gate_options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateOptions {
    limit: Option<u32>,
    reentrant: bool,
}

impl GateOptions {
    /// The default: no limit of its own, and not re-entrant.
    pub fn new() -> GateOptions {
        GateOptions::default()
    }

    /// Allows at most this many calls of the gate at a time, functions and actions together; others wait. Numbers
    /// below 1 or above 64 are clamped. With 1, no second call begins before the first has ended, even if the first
    /// has timed out and its handler still runs.
    ///
    /// A call counts until its handler has returned and, if it is [answered later](crate::dynamic::provide_later),
    /// until it is answered. Waiting calls get their turns by gate, and within a gate in the order in which threads
    /// took them; meanwhile calls of other gates are run. Calls from plugins in the provider's process count and
    /// wait like all others. A call that waits beyond its deadline is not run; a caller in another process cannot
    /// know that, so its `TIMEOUT` says [`may_have_run`](crate::Error::may_have_run).
    ///
    /// If a call comes back to the gate in a chain that already has a call of the gate under way (the gate's
    /// handler calls another plugin, whose handler calls this gate), it does not count, because it would wait for
    /// itself. A call whose chain has none under way waits like others. (If the outer call was given up and has
    /// ended meanwhile, the inner one runs on beside the next call: so a limit of 1 is no lock.) If two chains,
    /// each inside a limited gate, call each other's gate, one of these calls ends with
    /// [`DEADLOCK`](crate::Code::Deadlock).
    ///
    /// Without this option, a gate of a pool may use all threads but one, so that a slow gate leaves a thread for
    /// others; `limit` with the number of threads lets it use all. That default is about threads: a call that is
    /// answered later uses none once its handler has returned, and a plugin in the same process brings its own. If
    /// handlers run one at a time, a limit only matters for gates that answer later or are re-entrant.
    pub fn limit(self, calls: u32) -> GateOptions {
        GateOptions {
            limit: Some(calls.clamp(1, MOST)),
            ..self
        }
    }

    /// Makes the gate re-entrant: its handlers may run on top of a handler of the same plugin (in a group, of any
    /// of its plugins) that waits for an answer, even for a call that has nothing to do with that wait. For gates
    /// that only look something up or note something: they are answered although the plugin is waiting.
    ///
    /// On top of another wait, such a handler cannot wait for a call itself: that fails with
    /// [`DEADLOCK`](crate::Code::Deadlock) at once, and the call certainly does not run. (A call that was sent, and
    /// for which [`Sent::wait`](crate::dynamic::Sent::wait) would wait, is given up; it may have run.) Otherwise
    /// the handler below could not go on before the new call was answered. [Sending](crate::dynamic::Gate::send)
    /// without waiting is allowed. If the plugin is idle when the call comes in, its handler runs as any other; so
    /// it does in a [pool](crate::Dispatch::Pool) while a thread is free.
    pub fn reentrant(self, reentrant: bool) -> GateOptions {
        GateOptions { reentrant, ..self }
    }

    /// The limit of calls at a time; `None` if it is not set.
    pub fn calls_at_a_time(&self) -> Option<u32> {
        self.limit
    }

    /// Whether the gate is re-entrant.
    pub fn is_reentrant(&self) -> bool {
        self.reentrant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_gate_is_told_again() {
        let told = |options: GateOptions| (options.calls_at_a_time(), options.is_reentrant());
        let (unsaid, options) = (GateOptions::new(), GateOptions::new().limit(3));
        assert_eq!(told(unsaid), (None, false));
        assert_eq!(told(options.reentrant(true)), (Some(3), true));
        assert_eq!(told(unsaid.reentrant(true).limit(0)), (Some(1), true));
        assert_eq!(
            told(options.reentrant(true).reentrant(false)),
            (Some(3), false)
        );
    }
}
