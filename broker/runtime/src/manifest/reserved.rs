//! Gates that a plugin's manifest cannot claim, because the runtime and its host provide them.

use super::capability::{Capability, could_be};

/// Prefix of the names of the runtime's own gates and topics.
const OURS: &str = "callgate.";
/// The gates of the crate `callgate-services`.
const OF_SERVICES: [&str; 4] = [
    "data.kv",
    "data.config",
    "schedule.register",
    "schedule.unregister",
];

/// Gates that no plugin from a folder may provide, even while nobody provides them: such a plugin would receive the data that other plugins
/// send to the host's services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// The gates of the host's services.
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

    /// Reserves only the gates of the runtime itself.
    pub(crate) fn ours() -> Reserved {
        Reserved { gates: Vec::new() }
    }

    /// Refuses a capability that claims a reserved gate; the error says what is allowed instead. An open topic of that name claims it as
    /// well: while the topic exists, nobody can provide the gate.
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
