//! Counting calls of each gate, and timing some of them, in the plugin's status page.

use callgate_layout::clock;
use callgate_layout::pages::Status;

use super::gate::Gate;
use super::guard::guarded;
use crate::base::error::Result;

/// The status page in which calls are counted.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    pub(crate) status: &'a Status,
    /// Whether handlers run in parallel, so that several threads count at the same time.
    pub(crate) together: bool,
}

impl Counter<'_> {
    /// Counts that a call of a gate came as JSON.
    #[cold]
    pub(crate) fn note_json(&self, gate: &Gate, caller: &str) {
        gate.note_json(caller);
        if let Some(record) = gate.record() {
            self.status.count_gate_json(record, self.together);
        }
    }

    /// Runs a handler and counts the call for its gate. That costs a load and a store, and for one call in 64 two
    /// reads of the precise clock around the handler.
    #[inline]
    pub(crate) fn counted<T>(&self, gate: &Gate, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let status = self.status;
        let Some(record) = gate.record() else {
            return guarded(gate.name(), run);
        };
        if !status.begin_gate(record, self.together) {
            let outcome = guarded(gate.name(), run);
            if outcome.is_err() {
                status.end_gate(record, (true, None), self.together);
            }
            return outcome;
        }
        let start = clock::now();
        let outcome = guarded(gate.name(), run);
        let nanos = clock::now().saturating_sub(start);
        status.end_gate(record, (outcome.is_err(), Some(nanos)), self.together);
        outcome
    }
}
