//! `call/in-process`: a call between two plugins of one process. The limit is a virtual call of
//! the same closure, through whichever object stands there, as a gate is called through whatever
//! provides it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Plugin, Provider, Subscriber};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::{Block, Counters, Effort, clock_cost};
use crate::outcome::Outcome;
use crate::place::CpuClocks;
use crate::scenario::Scenario;

/// The calls of a block that are timed together, and those that are timed each.
const CALLS: u64 = 50_000;
const SAMPLES: u64 = 500;

fn add(a: u64, b: u64) -> u64 {
    a.wrapping_add(b)
}

/// What is called, and what it stands on.
struct Scene {
    object: Box<dyn Fn(u64, u64) -> u64>,
    gate: Subscriber<(u64, u64), u64>,
    clocks: CpuClocks,
    _provider: Provider,
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Scene {
    fn new() -> Result<Scene> {
        let broker = Broker::builder().without_socket().start()?;
        let connect = |name| -> Result<Plugin> {
            let builder = Plugin::builder(name).descriptor(broker.connect()?);
            Ok(builder.connect()?)
        };
        let (provider, caller) = (connect("Provider")?, connect("Caller")?);
        let provided = provider.provide("Inside.Add", add)?;
        let gate = caller.subscriber("Inside.Add")?;
        gate.wait_ready(Duration::from_secs(5))?;
        Ok(Scene {
            object: Box::new(add),
            gate,
            clocks: CpuClocks::of_this_process(),
            _provider: provided,
            _plugins: [provider, caller],
            _broker: broker,
        })
    }

    /// A block of one system's calls.
    fn block(&self, system: &str, clock_ns: u64) -> Result<Block> {
        match system {
            "limit" => self.calls(clock_ns, |n| Ok(black_box(&self.object)(n, 1))),
            _ => self.calls(clock_ns, |n| Ok(self.gate.invoke((n, 1))?)),
        }
    }

    fn calls(&self, clock_ns: u64, call: impl Fn(u64) -> Result<u64>) -> Result<Block> {
        let check = |n: u64| -> Result<()> {
            match black_box(call(black_box(n))?) {
                sum if sum == n + 1 => Ok(()),
                sum => Err(format!("a wrong answer to call {n}: {sum}").into()),
            }
        };
        let before = Counters::read(&self.clocks)?;
        let start = Instant::now();
        (0..CALLS).try_for_each(check)?;
        let took = start.elapsed();
        let after = Counters::read(&self.clocks)?;
        let sample = |n: u64| -> Result<u64> {
            let start = Instant::now();
            check(n)?;
            let took = u64::try_from(start.elapsed().as_nanos())?;
            Ok(took.saturating_sub(clock_ns))
        };
        let samples = (0..SAMPLES).map(sample).collect::<Result<_>>()?;
        let mean_ns = took.as_nanos() as f64 / CALLS as f64;
        Ok(Counters::block(before, after, CALLS, mean_ns, samples))
    }
}

pub(crate) fn measure(effort: Effort, random: &mut StdRng) -> Result<Outcome> {
    let clock_ns = clock_cost();
    let mut outcome = Outcome::new(Scenario::InProcess);
    let mut order = ["limit", "callgate"];
    for round in 0..effort.blocks {
        let scene = Scene::new()?;
        order.shuffle(random);
        for system in order {
            outcome.add(round, system, scene.block(system, clock_ns)?);
        }
    }
    Ok(outcome)
}
