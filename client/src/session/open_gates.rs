//! The gates that a plugin has open, by number. They outlive brokers: each new one is asked about all of them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;
use parking_lot::Mutex;

use super::numbers::MembershipId;
use super::numbers::Numbers;
use super::open_gate::OpenGate;

/// The gates that a plugin has open.
#[derive(Debug)]
pub(crate) struct OpenGates {
    numbers: Numbers,
    gates: Mutex<HashMap<u32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    gate: Weak<OpenGate>,
    /// The membership whose broker was asked last to open it.
    opened_by: Option<MembershipId>,
}

impl OpenGates {
    pub(super) fn new() -> OpenGates {
        OpenGates {
            numbers: Numbers::new(),
            gates: Mutex::default(),
        }
    }

    /// Adds a gate that is about to be opened. Returns its number.
    pub(super) fn add(&self, gate: &Arc<OpenGate>) -> u32 {
        let entry = Entry {
            gate: Arc::downgrade(gate),
            opened_by: None,
        };
        self.numbers.insert(&mut self.gates.lock(), entry)
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.lock().get(&number)?.gate.upgrade()
    }

    /// Removes a gate. Returns the membership whose broker was asked to open it.
    pub(super) fn remove(&self, number: u32) -> Option<MembershipId> {
        self.gates.lock().remove(&number)?.opened_by
    }

    /// The record that opens a gate in a membership; `None` if that broker was asked already, or the gate is
    /// closed.
    pub(super) fn to_open(&self, by: MembershipId, number: u32) -> Option<GateToBroker> {
        let gates = self.gates.lock();
        let entry = gates.get(&number)?;
        if entry.opened_by == Some(by) {
            return None;
        }
        let gate = entry.gate.upgrade()?;
        let shape = |kind| gate.wanted(kind).shape.clone();
        Some(GateToBroker::Open {
            open: number,
            gate: gate.name().to_string(),
            function: shape(CallKind::Function),
            action: shape(CallKind::Action),
        })
    }

    /// Notes that the membership's broker was asked.
    pub(super) fn opened(&self, by: MembershipId, number: u32) {
        if let Some(entry) = self.gates.lock().get_mut(&number) {
            entry.opened_by = Some(by);
        }
    }

    pub(super) fn all(&self) -> Vec<(u32, Arc<OpenGate>)> {
        let gates = self.gates.lock();
        let open = gates.iter();
        open.filter_map(|(number, entry)| Some((*number, entry.gate.upgrade()?)))
            .collect()
    }
}
