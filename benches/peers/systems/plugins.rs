//! Code shared by the systems that measure Callgate: the broker, the plugins, and the callee's side.

use std::any::Any;
use std::sync::mpsc::Receiver;

use callgate::Broker;
use callgate_client::{Plugin, Provider, WaitPolicy, gate_type};

use super::{Server, Setup};
use crate::Result;
use crate::payload::Small;

/// 64 bytes, as argument and as result.
#[gate_type]
pub(crate) struct Payload64 {
    pub(crate) words: Small,
}

/// The broker, in this process.
pub(crate) fn start_broker(setup: &Setup) -> Result<Box<dyn Any>> {
    let broker = Broker::builder().socket(setup.place.join("bus"));
    Ok(Box::new(broker.start()?))
}

/// A plugin of that name.
pub(crate) fn connect(setup: &Setup, name: &str) -> Result<Plugin> {
    connect_as(setup, name, WaitPolicy::Adaptive)
}

/// The same as [`connect`], with another way to wait.
pub(super) fn connect_as(setup: &Setup, name: &str, policy: WaitPolicy) -> Result<Plugin> {
    let builder = Plugin::builder(name).socket(setup.place.join("bus"));
    Ok(builder.wait_policy(policy).connect()?)
}

/// The dispatcher's thread serves; this only waits for it.
pub(super) struct Callee {
    stopped: Receiver<()>,
    _provider: Provider,
    _plugin: Plugin,
}

impl Callee {
    pub(super) fn new(stopped: Receiver<()>, provider: Provider, plugin: Plugin) -> Callee {
        Callee {
            stopped,
            _provider: provider,
            _plugin: plugin,
        }
    }
}

impl Server for Callee {
    fn serve(&mut self) -> Result<()> {
        Ok(self.stopped.recv()?)
    }
}
