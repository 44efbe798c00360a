//! Who takes the answers of sent calls: a thread that [leads](super::leading), or the one that looks after all calls.

/// How long the thread that looks after calls leaves the bell to threads that lead, in nanoseconds.
pub(super) const PERIOD: u64 = 1_000_000;

/// Who takes the answers of sent calls.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The call for which a thread waits that leads.
    pub(super) leader: Option<u64>,
    /// How many waits were led, and how many when the thread that looks after calls last looked.
    pub(super) begun: u64,
    pub(super) seen: u64,
    /// How many threads wait without leading, and how many tasks were polled.
    pub(super) followers: usize,
    /// Whether the thread that looks after calls has left the bell to leaders.
    pub(super) is_left: bool,
    /// The value of the bell before the last look of a thread that leads or sends.
    pub(super) bell: Option<u32>,
}
