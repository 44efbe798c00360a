//! Decides whether a program that links the client hangs, from the reports of its client library.

use callgate_layout::control::Pulse;

/// Judges the [pulses](crate::BrokerHandle::pulse) of one life of a program.
///
/// A dispatcher counts as hung if calls wait, no turn has ended since the last question, and no caller of a running handler still waits: a
/// handler that runs long, but within its caller's deadline, is left alone.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    turns_ended: Option<u64>,
}

impl Watchdog {
    /// A watchdog that has received no report yet.
    pub fn new() -> Watchdog {
        Watchdog::default()
    }

    /// Takes a report. Returns whether it counts as an answer ([`Event::Answered`](super::Event::Answered)).
    pub fn hears(&mut self, pulse: Pulse) -> bool {
        let before = self.turns_ended.replace(pulse.turns_ended);
        let stands_still = before == Some(pulse.turns_ended);
        !(pulse.is_waiting && stands_still && pulse.busy_for == 0)
    }
}
