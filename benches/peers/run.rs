//! Rounds of blocks: in each, every system has one, in an order drawn anew.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::{self, Block, Effort, Pair};
use crate::place;
use crate::scenario::Scenario;
use crate::systems::System;

/// All that a scenario gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) series: Vec<Series>,
}

/// A system's blocks, one a round.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) system: &'static str,
    pub(crate) blocks: Vec<Block>,
}

impl Outcome {
    /// The blocks of a system, if it took part.
    pub(crate) fn of(&self, system: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.system == system)
    }
}

/// Measures a scenario.
pub(crate) fn scenario(
    scenario: Scenario,
    systems: &[&'static dyn System],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Outcome> {
    let cores = place::cores()?;
    let core = scenario.cores().map(|(caller, _)| caller);
    let early = core.filter(|_| scenario.is_pinned_from_start());
    let mut pairs = Vec::new();
    for &system in systems {
        if let Some(core) = early {
            place::pin_thread(core)?;
        }
        let pair = Pair::start(system, scenario);
        place::unpin_thread(&cores)?;
        pairs.push(pair.map_err(|error| named(system, &*error))?);
    }
    if let Some(core) = core {
        place::pin_thread(core)?;
    }
    let outcome = rounds(scenario, &mut pairs, effort, random);
    place::unpin_thread(&cores)?;
    outcome
}

fn rounds(
    scenario: Scenario,
    pairs: &mut [Pair],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Outcome> {
    let clock_ns = block::clock_cost();
    for pair in &mut *pairs {
        let done = pair.calibrate(effort);
        done.map_err(|error| named(pair.system, &*error))?;
    }
    let mut outcome = Outcome {
        scenario,
        series: Vec::new(),
    };
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    for round in 0..effort.blocks {
        order.shuffle(random);
        for &at in &order {
            let pair = &mut pairs[at];
            let block = pair.block(effort, clock_ns);
            let block = block.map_err(|error| named(pair.system, &*error))?;
            outcome.add(round, pair.system.name(), block);
        }
    }
    Ok(outcome)
}

impl Outcome {
    /// Adds a round's block; of variants of one system the fastest stays.
    fn add(&mut self, round: usize, system: &'static str, block: Block) {
        let found = self
            .series
            .iter_mut()
            .find(|series| series.system == system);
        let Some(series) = found else {
            self.series.push(Series {
                system,
                blocks: vec![block],
            });
            return;
        };
        match series.blocks.get_mut(round) {
            Some(other) if other.mean_ns <= block.mean_ns => {}
            Some(other) => *other = block,
            None => series.blocks.push(block),
        }
    }
}

fn named(system: &dyn System, error: &dyn std::error::Error) -> String {
    format!("{}: {error}", system.id())
}
