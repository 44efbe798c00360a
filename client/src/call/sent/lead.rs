//! Who takes the answers of sent calls: a thread that [leads](super::leading), or the one that looks after all calls.

/// How long the thread that looks after calls leaves the bell to threads that lead, in nanoseconds.
pub(super) const PERIOD: u64 = 1_000_000;

/// How long the thread that looks after calls leaves the bell to threads that lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Left {
    /// Not at all: it sleeps on the bell.
    #[default]
    Not,
    /// For [`PERIOD`]: short waits come one after the other, and do not wake it.
    ForAPeriod,
    /// Until the present leader's wait ends, which has lasted longer than a period.
    WhileLed,
}

/// Who takes the answers of sent calls.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// Whether a thread leads.
    pub(super) is_led: bool,
    /// How many waits were led, and how many when the thread that looks after calls last looked.
    pub(super) begun: u64,
    pub(super) seen: u64,
    /// How many threads wait without leading, and how many tasks were polled.
    pub(super) followers: usize,
    /// Whether the thread that looks after calls has left the bell to leaders.
    pub(super) left: Left,
    /// The value of the bell before the last look of a thread that leads or sends.
    pub(super) bell: Option<u32>,
}
