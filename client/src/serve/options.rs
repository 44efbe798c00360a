//! What a provider says of how calls of a gate are run.

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

    /// At most so many calls of the gate are handled at a time (at least one), functions and actions
    /// together; others wait in order. Calls that come back to it in a chain of its own do not count.
    pub fn limit(self, calls: u32) -> GateOptions {
        GateOptions {
            limit: Some(calls.max(1)),
            ..self
        }
    }

    /// Whether the gate's handlers may run while a handler of the same plugin waits for an answer, on top
    /// of it, also for a call that has nothing to do with what that one waits for.
    pub fn reentrant(self, reentrant: bool) -> GateOptions {
        GateOptions { reentrant, ..self }
    }

    /// How many calls are handled at a time; `None` where nothing is said.
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
