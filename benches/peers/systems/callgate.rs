//! Callgate: a subscriber's `invoke_ref` and a handler that sees its argument in place.
//!
//! The broker runs embedded in the caller's process, on a thread of its own, which sleeps: no
//! call passes it. Waiting is left at its default (adaptive) in every scenario; `callgate-park` sleeps
//! at once, as the pipe beside it does. How 1 MiB is passed stands in `callgate_loan.rs`.
//!
//! The system takes part twice: `callgate-again` is the same code with processes of its own,
//! and shows how far apart two equal systems lie in this report.

use std::any::Any;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Plugin, Provider, Subscriber, View, WaitPolicy, gate_type};

use super::{Client, Server, Setup, System, callgate_loan, typed};
use crate::Result;
use crate::payload::{self, LARGE_WORDS, Small};
use crate::scenario::Scenario;

/// 64 bytes, as argument and as result.
#[gate_type]
pub(super) struct Payload64 {
    pub(super) words: Small,
}

/// Callgate.
pub(super) struct Callgate {
    name: &'static str,
    policy: WaitPolicy,
}

impl Callgate {
    pub(super) const FIRST: Callgate = Callgate {
        name: "callgate",
        policy: WaitPolicy::Adaptive,
    };
    pub(super) const CONTROL: Callgate = Callgate {
        name: "callgate-again",
        ..Callgate::FIRST
    };
    pub(super) const PARKED: Callgate = Callgate {
        name: "callgate-park",
        policy: WaitPolicy::Park,
    };
}

impl System for Callgate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        self.policy == WaitPolicy::Adaptive || scenario == Scenario::Unpinned
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        if setup.scenario == Scenario::LargeHot {
            return callgate_loan::server(setup);
        }
        if let Some(values) = setup.scenario.values() {
            return typed::server(setup, values);
        }
        let plugin = connect_as(setup, "Callee", self.policy)?;
        let (stop, stopped) = mpsc::channel();
        let provider = plugin.provide("Bench.Small", move |request: View<'_, Payload64>| {
            let request = request.words.map(|word| word.to_native());
            if payload::is_stop(&request) {
                // The receiver lives as long as this process.
                let _ = stop.send(());
            }
            Payload64 {
                words: payload::answer(request),
            }
        })?;
        Ok(Box::new(Callee::new(stopped, provider, plugin)))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if setup.scenario == Scenario::LargeHot {
            return callgate_loan::client(setup, LARGE_WORDS);
        }
        if let Some(values) = setup.scenario.values() {
            return typed::client(setup, values);
        }
        Ok(Box::new(Caller {
            setup: setup.clone(),
            policy: self.policy,
            gate: None,
            connected: 0,
        }))
    }
}

/// The broker, in this process.
pub(super) fn start_broker(setup: &Setup) -> Result<Box<dyn Any>> {
    let broker = Broker::builder().socket(setup.place.join("bus"));
    Ok(Box::new(broker.start()?))
}

pub(super) fn connect(setup: &Setup, name: &str) -> Result<Plugin> {
    connect_as(setup, name, WaitPolicy::Adaptive)
}

fn connect_as(setup: &Setup, name: &str, policy: WaitPolicy) -> Result<Plugin> {
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

struct Caller {
    setup: Setup,
    policy: WaitPolicy,
    gate: Option<(Subscriber<(Payload64,), Payload64>, Plugin)>,
    connected: u64,
}

impl Caller {
    #[cold]
    fn connect(&mut self) -> Result<(Subscriber<(Payload64,), Payload64>, Plugin)> {
        self.connected += 1;
        // There may be several processes that call.
        let name = format!("Caller{}-{}", std::process::id(), self.connected);
        let plugin = connect_as(&self.setup, &name, self.policy)?;
        let gate = plugin.subscriber("Bench.Small")?;
        gate.wait_ready(Duration::from_secs(5))?;
        Ok((gate, plugin))
    }
}

impl Client for Caller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        if self.gate.is_none() {
            self.gate = Some(self.connect()?);
        }
        let Some((gate, _)) = &self.gate else {
            return Err("not connected".into());
        };
        let request = (Payload64 {
            words: payload::request(number),
        },);
        payload::check(number, gate.invoke_ref(&request)?.words)
    }

    fn settle(&mut self) -> Result<()> {
        if self.setup.scenario == Scenario::Connect {
            self.gate = None;
        }
        Ok(())
    }
}
