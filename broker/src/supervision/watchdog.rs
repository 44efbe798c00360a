//! Whether a program that links the client hangs, from what its library says.

use callgate_layout::control::Pulse;

/// Judges the [pulses](crate::BrokerHandle::pulse) of one life of a program.
///
/// A dispatcher hangs where calls wait, no turn has ended since the last question, and no caller of a running handler
/// still waits: a handler that runs for long within its caller's deadline is left alone.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    turns_ended: Option<u64>,
}

impl Watchdog {
    /// One that has heard nothing.
    pub fn new() -> Watchdog {
        Watchdog::default()
    }

    /// Takes in an answer; whether it counts as one ([`Event::Answered`](super::Event::Answered)).
    pub fn hears(&mut self, pulse: Pulse) -> bool {
        let before = self.turns_ended.replace(pulse.turns_ended);
        let stands_still = before == Some(pulse.turns_ended);
        !(pulse.is_waiting && stands_still && pulse.busy_for == 0)
    }
}
