//! Gates that a plugin's manifest cannot claim, because the runtime and its host provide them.

use super::capability::{Capability, could_be};

/// What the runtime's own gates and topics begin with.
const OURS: &str = "callgate.";
/// The gates of the crate `callgate-services`.
const OF_SERVICES: [&str; 4] = [
    "data.kv",
    "data.config",
    "schedule.register",
    "schedule.unregister",
];

/// Gates that no plugin of a folder provides, also while nobody does: whoever provides them gets what others mean for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// Those of the host.
    gates: Vec<String>,
}

impl Default for Reserved {
    fn default() -> Reserved {
        Reserved::new(OF_SERVICES)
    }
}

impl Reserved {
    pub(crate) fn new<T: Into<String>>(gates: impl IntoIterator<Item = T>) -> Reserved {
        Reserved {
            gates: gates.into_iter().map(Into::into).collect(),
        }
    }

    /// The runtime's alone.
    pub(crate) fn ours() -> Reserved {
        Reserved { gates: Vec::new() }
    }

    /// What is allowed instead of a capability that claims one of them. An open topic of the name claims it as well: while that is
    /// there, nobody can provide the gate.
    pub(super) fn check(&self, capability: &Capability) -> Result<(), String> {
        let (action, pattern) = match capability {
            Capability::Provide(pattern) => ("gate.provide", pattern),
            Capability::Publish(pattern) => ("events.publish", pattern),
            _ => return Ok(()),
        };
        if could_be(pattern, OURS) {
            return Err(format!(
                "{action}:PATTERN that does not stand for what begins with `{OURS}`, which is the runtime's"
            ));
        }
        let mut gates = self.gates.iter();
        match gates.find(|gate| could_be(pattern, gate)) {
            None => Ok(()),
            Some(gate) => Err(format!(
                "{action}:PATTERN that does not stand for `{gate}`, which services of the host provide; a host that has none of them says \
                 so (`Builder::reserved`)"
            )),
        }
    }
}
