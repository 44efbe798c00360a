//! What a provider says of how calls of a gate are run.

use callgate_layout::permits::MOST;

/// How calls of a gate are run; set by [`Plugin::set_gate_options`](crate::Plugin::set_gate_options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateOptions {
    limit: Option<u32>,
    reentrant: bool,
}

impl GateOptions {
    /// A gate as it is where nothing is said of it.
    pub fn new() -> GateOptions {
        GateOptions::default()
    }

    /// At most so many calls of the gate are under way at a time, functions and actions together; others wait.
    /// Of numbers outside of 1 to 64 the nearest is taken. With 1, no second call begins before the first has
    /// ended, also where that one timed out and its handler runs on.
    ///
    /// A call is under way until its handler has returned, and where it is
    /// [answered later](crate::dynamic::provide_later), until it was answered, too. Calls that wait come in turn
    /// by gate, within a gate in the order in which threads took them; in the meantime calls of other gates
    /// are run. Those of plugins in the provider's process count like all others, and wait like for a turn. A
    /// call that waits longer than its deadline is not run; a caller in another process cannot know that, and its
    /// `TIMEOUT` says [`may_have_run`](crate::Error::may_have_run).
    ///
    /// A call that comes back to the gate in a chain that is inside it already (the gate's handler calls
    /// another plugin, whose handler calls this gate) does not count, because it would wait for itself. One
    /// that comes in a chain that is not inside waits like others. (Where the call that it came back from was
    /// given up and has ended meanwhile, it runs on beside the next one: such a limit of 1 is no lock.) Where two chains that each are inside one
    /// limited gate call the other's, one of these calls ends with [`DEADLOCK`](crate::Code::Deadlock).
    ///
    /// Without this, a gate of a pool has all of its threads but one, so that a slow gate leaves other gates a
    /// thread; `limit` with the number of threads lets it have all of them. That is about threads: a call that
    /// is answered later holds none once its handler has returned, and a plugin in the same process brings
    /// its own. Where handlers run one at a time, a limit only matters for gates that answer later or are
    /// re-entrant.
    pub fn limit(self, calls: u32) -> GateOptions {
        GateOptions {
            limit: Some(calls.clamp(1, MOST)),
            ..self
        }
    }

    /// Whether the gate's handlers may run while a handler of the same plugin, in a group of any of its plugins,
    /// waits for an answer, on top of it, also for a call that has nothing to do with what that one waits for.
    /// For gates that only look or note something: they are answered although the plugin stands still.
    ///
    /// On top of another wait, the handler cannot wait for a call itself: that fails with
    /// [`DEADLOCK`](crate::Code::Deadlock) at once, and the call certainly does not run. (One that was sent, and that
    /// [`Sent::wait`](crate::dynamic::Sent::wait) is to wait for, is given up; it may have run.) The handler below
    /// could not go on before it was answered. [Sending](crate::dynamic::Gate::send) without waiting is allowed. Where the
    /// plugin is idle when the call comes in, its handler runs as any other; so it does in a
    /// [pool](crate::Dispatch::Pool) as long as a thread is free.
    pub fn reentrant(self, reentrant: bool) -> GateOptions {
        GateOptions { reentrant, ..self }
    }

    /// How many calls are under way at a time; `None` where nothing is said.
    pub fn calls_at_a_time(&self) -> Option<u32> {
        self.limit
    }

    /// Whether handlers may run on top of those that wait.
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
