//! Counting calls and timing some of them, gate by gate, in the plugin's status page.

use callgate_layout::clock;

use crate::error::Result;
use crate::gates::{Gate, Served};
use crate::serve::guarded;

/// Where a plugin's calls are counted.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    pub(crate) served: &'a Served,
    /// Whether handlers run side by side, and so count at the same time.
    pub(crate) together: bool,
}

impl Counter<'_> {
    /// Runs a handler, and counts it for its gate: two loads and a store, and for one call in 64
    /// two reads of the precise clock.
    #[inline]
    pub(crate) fn counted<T>(&self, gate: &Gate, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let status = &self.served.status;
        let Some(record) = gate.record() else {
            return guarded(gate, run);
        };
        let start = status.is_sample(record).then(clock::now);
        let outcome = guarded(gate, run);
        let nanos = start.map(|start| clock::now().saturating_sub(start));
        status.count_gate(record, (outcome.is_err(), nanos), self.together);
        outcome
    }
}
