//! What a handler can know about the call it serves.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The plugin behind a call, as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) plugin: u64,
}

impl Caller {
    /// The name under which it connected.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Its version, as it gave it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its process. A number may be reused after the process ended: compare [`Caller::plugin`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its identity on the bus: a plugin that connects again gets another one.
    pub fn plugin(&self) -> u64 {
        self.plugin
    }
}

/// The call that a handler serves: who calls, which gate, how much time is left.
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
}

impl<'a> Context<'a> {
    /// The context of one call; `deadline` is in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn new(caller: &'a Caller, gate: &'a str, deadline: u64) -> Context<'a> {
        Context {
            caller,
            gate,
            deadline,
        }
    }

    /// The plugin that calls: the one at the other end of the link, whatever it claims.
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The gate that is called.
    pub fn gate(&self) -> &'a str {
        self.gate
    }

    /// The time left until the caller gives up, to within a tick of the kernel (some milliseconds).
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(coarse_now()))
    }

    /// Whether the caller has given up, or is about to.
    pub fn deadline_passed(&self) -> bool {
        self.remaining().is_zero()
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, up to one tick late, for a few nanoseconds of time.
fn coarse_now() -> u64 {
    match clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) {
        Ok(now) => u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX),
        // Every Linux that runs this has the clock.
        Err(_) => 0,
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
        let context = Context::new(&caller, "Rack.Filter", coarse_now() + 10_000_000_000);
        assert!(!context.deadline_passed());
        assert!(context.remaining() > Duration::from_secs(5));
        assert!(Context::new(&caller, "Rack.Filter", coarse_now()).deadline_passed());
    }
}
