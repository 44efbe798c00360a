//! The broker, and what all plugins on pipes share.

use std::fmt;
use std::sync::Arc;

use callgate::supervision::Status;
use callgate::{BrokerHandle, listing};

use super::plan::Plan;
use crate::bridge::{Bridge, Bus, Limits, Parts, Tell};
use crate::manifest::Transport;
use crate::process::Stdin;

/// The broker, and what all plugins on pipes share.
pub(crate) struct Surroundings {
    broker: BrokerHandle,
    bus: Arc<Bus>,
}

impl Surroundings {
    pub(crate) fn new(broker: BrokerHandle) -> callgate_client::Result<Surroundings> {
        let bus = Bus::new()?;
        Ok(Surroundings { broker, bus })
    }

    pub(crate) fn broker(&self) -> &BrokerHandle {
        &self.broker
    }

    /// Sets a plugin's policy, so that no right is open before. Waits for the broker.
    pub(super) fn admit(&self, plan: &Plan) -> Result<(), String> {
        let policy = Some(plan.manifest.policy());
        match self.broker.set_policy(&plan.name, policy) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("its policy cannot be set: {error}")),
        }
    }

    /// Makes a child a plugin of the bus that nobody can call yet. Waits for the broker.
    pub(super) fn connect(
        &self,
        plan: &Plan,
        stdin: &Stdin,
        tell: Arc<dyn Tell>,
    ) -> Result<Bridge, String> {
        let socket = self.broker.connect();
        let socket = socket.map_err(|error| format!("the broker does not let it in: {error}"))?;
        let parts = Parts {
            bus: self.bus.clone(),
            socket,
            stdin: stdin.clone(),
            tell,
            limits: Limits {
                request: plan.restart.call_deadline,
                ..Limits::default()
            },
        };
        Bridge::connect(&plan.manifest, parts).map_err(|error| error.to_string())
    }

    /// Tells those who list plugins how one stands.
    pub(super) fn publish(&self, plan: &Plan, status: Status) {
        let transport = match plan.manifest.backend().transport {
            Transport::Stdio => listing::Transport::Stdio,
            Transport::Shm => listing::Transport::Shm,
        };
        let told = self
            .broker
            .set_status(&plan.name, Some(status.with_transport(transport)));
        if let Err(error) = told {
            tracing::debug!(
                "the broker is not told how plugin `{}` stands: {error}",
                plan.name
            );
        }
    }

    /// Takes a plugin out of listings.
    pub(super) fn forget(&self, plan: &Plan) {
        // A broker that has ended lists nobody.
        let _ = self.broker.set_status(&plan.name, None);
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}
