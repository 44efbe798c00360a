//! Callgate: a subscriber's `invoke_ref` and a handler that sees its argument in place.
//!
//! The broker runs embedded in the caller's process, on a thread of its own, which sleeps: no
//! call passes it. Waiting is left at its default (adaptive) in every scenario; `callgate-park` sleeps
//! at once, as the pipe beside it does. How 1 MiB is passed stands in `callgate_loan.rs`.
//!
//! The system takes part twice: `callgate-again` is the same code with processes of its own,
//! and shows how far apart two equal systems lie in this report. `callgate-64B` is a call of 64 bytes
//! beside those of 1 MiB, so that both lengths are in one round.

use std::any::Any;
use std::sync::mpsc;
use std::time::Duration;

use callgate_client::{Plugin, Subscriber, View, WaitPolicy};

use super::plugins::{Callee, Payload64, connect_as, start_broker};
use super::{Client, Server, Setup, System, callgate_loan, typed};
use crate::Result;
use crate::payload::{self, LARGE_WORDS};
use crate::scenario::Scenario;

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
        let is_known = self.policy == WaitPolicy::Adaptive || scenario == Scenario::Unpinned;
        is_known && scenario.json().is_none()
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

/// A call of 64 bytes as in the scenario that measures those, for comparison with 1 MiB.
pub(super) struct WithoutLoan;

impl WithoutLoan {
    /// What the scenario of the small calls would say.
    fn setup(setup: &Setup) -> Setup {
        Setup {
            scenario: Scenario::SmallHot,
            ..setup.clone()
        }
    }
}

impl System for WithoutLoan {
    fn name(&self) -> &'static str {
        "callgate-64B"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario == Scenario::LargeHot
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        Callgate::FIRST.server(&WithoutLoan::setup(setup))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        Callgate::FIRST.client(&WithoutLoan::setup(setup))
    }
}
