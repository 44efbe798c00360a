//! The broker, and state that all plugins on pipes share.

use std::fmt;
use std::process::Command;
use std::sync::Arc;

use callgate::supervision::Status;
use callgate::{BrokerHandle, Child, Policy};
use callgate_client::{Plugin, TopicOptions};

use super::journal::LogTopic;
use super::plan::Plan;
use crate::bridge::{Bridge, Bus, Limits, Parts, Tell};
use crate::error::RuntimeError;
use crate::process::Stdin;

/// The broker, and state that all plugins on pipes share.
pub(crate) struct Surroundings {
    broker: BrokerHandle,
    bus: Arc<Bus>,
    /// The topic with the log lines of all plugins. Declared before `plugin`, which sends on it, so that it is dropped first.
    topic: Arc<LogTopic>,
    /// The runtime's own session on the bus.
    plugin: Plugin,
}

/// The runtime's name on the bus. Manifests cannot have this name.
const OWN_NAME: &str = "callgate-runtime";
/// The topic with the log lines of all plugins.
const LOG: &str = "callgate.runtime.log";

impl Surroundings {
    /// Connects the runtime to the bus. Waits for the broker.
    pub(crate) fn new(broker: BrokerHandle) -> Result<Surroundings, RuntimeError> {
        let bus = Bus::new().map_err(RuntimeError::Bus)?;
        // This policy also admits the runtime if the bus is strict.
        let policy = Policy::new().provide("callgate.runtime.*");
        let socket = broker
            .connect_as(OWN_NAME, policy)
            .map_err(RuntimeError::System)?;
        let plugin = Plugin::builder(OWN_NAME)
            .display_name("The runtime")
            .version(env!("CARGO_PKG_VERSION"))
            .descriptor(socket)
            .outlives_broker(false)
            .group(bus.group())
            .connect()
            .map_err(RuntimeError::Bus)?;
        // Slow listeners lose lines, because the loop sends on this topic and must not wait for them.
        let options = TopicOptions::new().drop_oldest();
        let topic = plugin.topic_with(LOG, options).map_err(RuntimeError::Bus)?;
        Ok(Surroundings {
            broker,
            bus,
            topic: Arc::new(topic),
            plugin,
        })
    }

    /// The runtime's own session on the bus.
    pub(crate) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    pub(super) fn topic(&self) -> &Arc<LogTopic> {
        &self.topic
    }

    pub(super) fn broker(&self) -> &BrokerHandle {
        &self.broker
    }

    /// Has the broker start a program that links the client. The manifest's policy applies to its session from the start. Waits for the
    /// broker.
    pub(super) fn spawn(&self, plan: &Plan, program: Command) -> Result<Child, String> {
        let policy = plan.manifest.policy();
        let spawned = self.broker.spawn_as(&plan.name, program, policy);
        spawned.map_err(|error| error.to_string())
    }

    /// Makes a child a plugin of the bus that others cannot call yet. The manifest's policy applies, as for a program that the broker
    /// starts. Waits for the broker.
    pub(super) fn connect(
        &self,
        plan: &Plan,
        stdin: &Stdin,
        tell: Arc<dyn Tell>,
    ) -> Result<Bridge, String> {
        let policy = plan.manifest.policy();
        let socket = self.broker.connect_as(&plan.name, policy);
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

    /// Publishes a plugin's status for those who list plugins.
    pub(super) fn publish(&self, plan: &Plan, status: Status) {
        let told = self.broker.set_status(&plan.name, Some(status));
        if let Err(error) = told {
            tracing::debug!(
                "the broker is not told how plugin `{}` stands: {error}",
                plan.name
            );
        }
    }

    /// Removes a plugin from listings.
    pub(super) fn forget(&self, plan: &Plan) {
        // Fails only if the broker has ended, and then there are no listings.
        let _ = self.broker.set_status(&plan.name, None);
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}
