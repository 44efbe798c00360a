//! Rounds of blocks: in each, every system has one, in an order drawn anew.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::{self, Block, Effort, Pair};
use crate::outcome::Outcome;
use crate::scenario::{Scenario, Shares};
use crate::systems::{self, System};
use crate::{callers, inside, notify, place, share, stdio};

/// The names of all systems, in the order of the report.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = systems::all().iter().map(|system| system.name()).collect();
    names.extend(stdio::NAMES);
    names.extend(notify::names());
    names.extend(share::all().iter().map(|system| system.name()));
    names.extend(share::get::names());
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// The systems of a kind of scenario.
pub(crate) fn of(scenario: Scenario) -> &'static [&'static dyn System] {
    match scenario {
        Scenario::Shares(_) => share::all(),
        _ => systems::all(),
    }
}

/// Measures a scenario; nothing where none of the wanted systems takes part in it. None is named means all.
pub(crate) fn scenario(
    scenario: Scenario,
    names: &[String],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Option<Outcome>> {
    if let Scenario::Events(events) = scenario {
        return notify::measure(scenario, events, names, effort, random);
    }
    if let Scenario::Stdio(open) = scenario {
        return stdio::measure((scenario, open), names, effort, random);
    }
    let systems = wanted(scenario, names);
    if systems.is_empty() {
        return Ok(None);
    }
    let outcome = match scenario {
        Scenario::FourCallers => callers::measure(effort, random),
        Scenario::InProcess => inside::measure(effort, random),
        Scenario::Shares(Shares::Get) => share::get::measure(effort, random),
        _ => pairs(scenario, &systems, effort, random),
    };
    outcome.map(Some)
}

/// The systems that take part, always with the limit. Arrangements of Callgate's own are Callgate's
/// alone.
fn wanted(scenario: Scenario, names: &[String]) -> Vec<&'static dyn System> {
    let is_pair = scenario.is_pair();
    let is_wanted = |name: &str| {
        let is_named = names.is_empty() || names.iter().any(|wanted| wanted == name);
        match is_pair {
            true => is_named || name == scenario.reference(),
            false => is_named && name == "callgate",
        }
    };
    let systems = of(scenario).iter().copied();
    systems
        .filter(|system| system.takes_part(scenario) && is_wanted(system.name()))
        .collect()
}

/// Measures a scenario of pairs.
fn pairs(
    scenario: Scenario,
    systems: &[&'static dyn System],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Outcome> {
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
