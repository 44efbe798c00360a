//! The gates that a plugin has open, by number. They outlive brokers: each new one is asked about all of them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::numbers::Numbers;
use super::open_gate::OpenGate;

/// The gates that a plugin has open.
#[derive(Debug)]
pub(crate) struct OpenGates {
    numbers: Numbers,
    gates: Mutex<HashMap<u32, Weak<OpenGate>>>,
}

impl OpenGates {
    pub(super) fn new() -> OpenGates {
        OpenGates {
            numbers: Numbers::new(),
            gates: Mutex::default(),
        }
    }

    /// Takes in a gate that is about to be opened; gives back its number.
    pub(super) fn add(&self, gate: &Arc<OpenGate>) -> u32 {
        let gate = Arc::downgrade(gate);
        self.numbers.insert(&mut self.gates.lock(), gate)
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.lock().get(&number)?.upgrade()
    }

    /// Forgets a gate; whether it was open.
    pub(super) fn remove(&self, number: u32) -> bool {
        self.gates.lock().remove(&number).is_some()
    }

    pub(super) fn all(&self) -> Vec<(u32, Arc<OpenGate>)> {
        let gates = self.gates.lock();
        let open = gates.iter();
        open.filter_map(|(number, gate)| Some((*number, gate.upgrade()?)))
            .collect()
    }
}
