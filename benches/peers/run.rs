//! Rounds of blocks: in each, every system has one, in an order drawn anew.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::{self, Block, Effort, Pair};
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::systems::System;
use crate::{callers, inside, place};

/// Measures a scenario.
pub(crate) fn scenario(
    scenario: Scenario,
    systems: &[&'static dyn System],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Outcome> {
    match scenario {
        Scenario::FourCallers => return callers::measure(effort, random),
        Scenario::InProcess => return inside::measure(effort, random),
        _ => {}
    }
    let clock_ns = block::clock_cost();
    let cores = place::cores()?;
    let mut outcome = Outcome::new(scenario);
    let mut calls = vec![None; systems.len()];
    let mut order: Vec<usize> = (0..systems.len()).collect();
    for round in 0..effort.blocks {
        order.shuffle(random);
        for &at in &order {
            let system = systems[at];
            let block = one_block(system, scenario, &mut calls[at], effort, clock_ns);
            place::unpin_thread(&cores)?;
            let block = block.map_err(|error| format!("{}: {error}", system.id()))?;
            outcome.add(round, system.name(), block);
        }
    }
    Ok(outcome)
}

/// Starts a pair, makes a block of calls and ends the pair. Leaves this thread pinned.
fn one_block(
    system: &'static dyn System,
    scenario: Scenario,
    calls: &mut Option<u64>,
    effort: Effort,
    clock_ns: u64,
) -> Result<Block> {
    let core = scenario.cores().map(|(caller, _)| caller);
    if let Some(core) = core.filter(|_| scenario.is_pinned_from_start()) {
        place::pin_thread(core)?;
    }
    let mut pair = Pair::start(system, scenario)?;
    if let Some(core) = core {
        place::pin_thread(core)?;
    }
    let calls = match *calls {
        Some(calls) => calls,
        None => *calls.insert(pair.calibrate(effort)?),
    };
    pair.block(effort, calls, clock_ns)
}
