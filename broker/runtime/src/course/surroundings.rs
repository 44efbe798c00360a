//! The broker, and what all plugins on pipes share.

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

/// The broker, and what all plugins on pipes share.
pub(crate) struct Surroundings {
    broker: BrokerHandle,
    bus: Arc<Bus>,
    /// The topic with what plugins write; dropped before the plugin that sends on it.
    topic: Arc<LogTopic>,
    /// The runtime itself.
    plugin: Plugin,
}

/// The runtime's name on the bus. No manifest can have it.
const OWN_NAME: &str = "callgate-runtime";
/// The topic with what plugins write.
const LOG: &str = "callgate.runtime.log";

impl Surroundings {
    /// Waits for the broker.
    pub(crate) fn new(broker: BrokerHandle) -> Result<Surroundings, RuntimeError> {
        let bus = Bus::new().map_err(RuntimeError::Bus)?;
        // On a strict bus it is let in by this.
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
        // The loop sends on it, and must not wait for who follows.
        let options = TopicOptions::new().drop_oldest();
        let topic = plugin.topic_with(LOG, options).map_err(RuntimeError::Bus)?;
        Ok(Surroundings {
            broker,
            bus,
            topic: Arc::new(topic),
            plugin,
        })
    }

    /// The runtime as a plugin.
    pub(crate) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    pub(super) fn topic(&self) -> &Arc<LogTopic> {
        &self.topic
    }

    pub(super) fn broker(&self) -> &BrokerHandle {
        &self.broker
    }

    /// Has the broker start a program that links the client. It has its manifest's policy from the start, and for as long as it is
    /// on the bus. Waits for the broker.
    pub(super) fn spawn(&self, plan: &Plan, program: Command) -> Result<Child, String> {
        let policy = plan.manifest.policy();
        let spawned = self.broker.spawn_as(&plan.name, program, policy);
        spawned.map_err(|error| error.to_string())
    }

    /// Makes a child a plugin of the bus that nobody can call yet. It has its manifest's policy, as one that is spawned. Waits for the
    /// broker.
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

    /// Tells those who list plugins how one stands.
    pub(super) fn publish(&self, plan: &Plan, status: Status) {
        let told = self.broker.set_status(&plan.name, Some(status));
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
