//! `share/get`: what the plugin has already, in one process. The limit is a clone of an `Arc`, looked at and dropped.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use callgate::Broker;
use callgate_client::{Plugin, Share, Shares as Handle, Versions};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::{Block, Counters, Effort, clock_cost};
use crate::outcome::Outcome;
use crate::place::CpuClocks;
use crate::scenario::{Scenario, Shares};

/// How often it is got in a block: timed together, and timed each.
const TIMES: u64 = 100_000;
const SAMPLES: u64 = 500;

const TAG: &str = "Bench.Table";
const LEN: usize = 1024;
const SYSTEMS: [&str; 4] = ["limit", "callgate", "callgate-latest", "callgate-clone"];

/// The names of what is compared.
pub(crate) fn names() -> [&'static str; 4] {
    SYSTEMS
}

struct Scene {
    arc: Arc<[u64]>,
    shares: Handle,
    versions: Versions<[u64]>,
    guard: Share<[u64]>,
    clocks: CpuClocks,
    _plugin: Plugin,
    _broker: Broker,
}

fn fill(words: &mut [u64]) {
    for (word, number) in words.iter_mut().zip(0..) {
        *word = number;
    }
}

impl Scene {
    fn new() -> Result<Scene> {
        let broker = Broker::builder().without_socket().start()?;
        let plugin = Plugin::builder("Reader")
            .descriptor(broker.connect()?)
            .connect()?;
        let shares = plugin.shares();
        let guard = shares.create_with(TAG, LEN, fill)?;
        let mut words = vec![0; LEN];
        fill(&mut words);
        Ok(Scene {
            arc: words.into(),
            versions: shares.versions(TAG)?,
            shares,
            guard,
            clocks: CpuClocks::of_this_process(),
            _plugin: plugin,
            _broker: broker,
        })
    }

    /// A block of one system.
    fn block(&self, system: &str, clock_ns: u64) -> Result<Block> {
        match system {
            "limit" => self.times(clock_ns, |at| Ok(black_box(self.arc.clone())[at])),
            "callgate-clone" => self.times(clock_ns, |at| Ok(black_box(self.guard.clone())[at])),
            "callgate-latest" => self.times(clock_ns, |at| {
                let newest = self.versions.latest()?.ok_or("there is none")?;
                Ok(black_box(newest)[at])
            }),
            _ => self.times(clock_ns, |at| {
                Ok(black_box(self.shares.get::<[u64]>(TAG)?)[at])
            }),
        }
    }

    fn times(&self, clock_ns: u64, get: impl Fn(usize) -> Result<u64>) -> Result<Block> {
        let check = |n: u64| -> Result<()> {
            let at = n as usize % LEN;
            match black_box(get(black_box(at))?) {
                word if word == at as u64 => Ok(()),
                word => Err(format!("{word} lies at {at}").into()),
            }
        };
        (0..TIMES / 8).try_for_each(check)?;
        let before = Counters::read(&self.clocks)?;
        let start = Instant::now();
        (0..TIMES).try_for_each(check)?;
        let took = start.elapsed();
        let after = Counters::read(&self.clocks)?;
        let sample = |n: u64| -> Result<u64> {
            let start = Instant::now();
            check(n)?;
            let took = u64::try_from(start.elapsed().as_nanos())?;
            Ok(took.saturating_sub(clock_ns))
        };
        let samples = (0..SAMPLES).map(sample).collect::<Result<_>>()?;
        let mean_ns = took.as_nanos() as f64 / TIMES as f64;
        Ok(Counters::block(before, after, TIMES, mean_ns, samples))
    }
}

pub(crate) fn measure(effort: Effort, random: &mut StdRng) -> Result<Outcome> {
    let clock_ns = clock_cost();
    let mut outcome = Outcome::new(Scenario::Shares(Shares::Get));
    let mut order = SYSTEMS;
    for round in 0..effort.blocks {
        let scene = Scene::new()?;
        order.shuffle(random);
        for system in order {
            outcome.add(round, system, scene.block(system, clock_ns)?);
        }
    }
    Ok(outcome)
}
