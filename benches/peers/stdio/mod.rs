//! Calls to a child on pipes that echoes: `call/stdio` one after the other, `call/stdio/in-flight-64` with so many open at once.
//!
//! The child is this program once more (`echo.rs`), and the same for all. `limit` writes the lines of the runtime into the child's pipe
//! itself and reads the answers, both by serde_json; `callgate` is a plugin in the process of the broker and the runtime, `callgate-other`
//! one in another process, which looks all the time; `callgate-host` is the host's own way in (`Runtime::call_as`). All have processes of
//! their own in each round, and nobody is pinned.

mod callgate;
mod echo;
mod host;
mod limit;
mod process;

use std::time::Instant;

use nix::unistd::alarm;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::Result;
use crate::block::{Block, Counters, Effort, HANGS_AFTER_S, clock_cost};
use crate::outcome::Outcome;
use crate::place::CpuClocks;
use crate::scenario::Scenario;
use crate::systems::Setup;

/// One call in so many is timed by itself; where several are open at once, so many times as many are timed together.
const SAMPLE_EVERY: u64 = 4;

/// A text that makes a request 64 bytes long.
const FILL: &str = "0123456789012345678901234567890123456789";

/// What is asked, and answered.
#[derive(Debug, Serialize, Deserialize)]
struct Params<'a> {
    number: u64,
    fill: &'a str,
}

impl Params<'_> {
    fn of(number: u64) -> Params<'static> {
        Params { number, fill: FILL }
    }

    fn check(&self, number: u64) -> Result<()> {
        match self.number == number && self.fill == FILL {
            true => Ok(()),
            false => Err(format!("a wrong answer to call {number}: {self:?}").into()),
        }
    }
}

/// A way to call the child.
trait Caller {
    /// Calls it, and checks the answer.
    fn call(&mut self, number: u64) -> Result<()>;

    /// Calls it so many times, with so many calls open at once.
    fn call_many(&mut self, first: u64, count: u64, open: u64) -> Result<()>;

    /// The child, and the other processes that take part.
    fn processes(&self) -> (u32, Vec<u32>);
}

/// The names of the systems, in the order of the report.
pub(crate) const NAMES: [&str; 4] = ["limit", "callgate", "callgate-host", "callgate-other"];

fn start(system: &str, setup: &Setup) -> Result<Box<dyn Caller>> {
    Ok(match system {
        "limit" => Box::new(limit::Pipes::start(setup)?),
        "callgate" => Box::new(callgate::Gates::inside(setup)?),
        "callgate-other" => Box::new(callgate::Gates::elsewhere(setup)?),
        _ => Box::new(host::Host::start(setup)?),
    })
}

/// Is one of the processes that are started here.
pub(crate) fn be(id: &str, setup: &Setup) -> Result<()> {
    match id {
        echo::ID => echo::be(),
        callgate::HOST => callgate::be(setup),
        _ => Err("no such process".into()),
    }
}

/// Measures a scenario with so many calls open at once; nothing where none of the systems takes part.
pub(crate) fn measure(
    (scenario, open): (Scenario, usize),
    wanted: &[String],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Option<Outcome>> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut systems = NAMES.to_vec();
    // The host's way in waits for each call.
    systems.retain(|name| open == 1 || *name != "callgate-host");
    if !systems.iter().any(|name| is_wanted(name)) {
        return Ok(None);
    }
    systems.retain(|name| *name == "limit" || is_wanted(name));
    let mut outcome = Outcome::new(scenario);
    for round in 0..effort.blocks {
        systems.shuffle(random);
        for system in &systems {
            let block = block(system, scenario, open as u64, effort);
            let block = block.map_err(|error| format!("{system}: {error}"))?;
            outcome.add(round, system, block);
        }
    }
    Ok(Some(outcome))
}

/// Starts a system, and makes a block of calls.
fn block(system: &str, scenario: Scenario, open: u64, effort: Effort) -> Result<Block> {
    alarm::set(HANGS_AFTER_S);
    let place = TempDir::with_prefix("callgate-bench-")?;
    let setup = Setup {
        scenario,
        place: place.path().to_owned(),
    };
    let mut caller = start(system, &setup)?;
    let (child, others) = caller.processes();
    let clocks = CpuClocks::new(child, &others)?;
    let mut next = 1;
    let mut many = |caller: &mut Box<dyn Caller>, count| {
        next += count;
        caller.call_many(next - count, count, open)
    };
    let calls = calibrate(|count| many(&mut caller, count), effort)?;
    let before = Counters::read(&clocks)?;
    let start = Instant::now();
    many(&mut caller, calls)?;
    let took = start.elapsed();
    let after = Counters::read(&clocks)?;
    let clock_ns = clock_cost();
    let mut samples = Vec::new();
    for _ in 0..calls / 8 / open {
        // One call after a few others, or so many that are open at once.
        let (before, timed) = match open {
            1 => (SAMPLE_EVERY - 1, 1),
            _ => (0, SAMPLE_EVERY * open),
        };
        many(&mut caller, before)?;
        let start = Instant::now();
        many(&mut caller, timed)?;
        let took = u64::try_from(start.elapsed().as_nanos())?;
        samples.push(took.saturating_sub(clock_ns) / timed);
    }
    let mean_ns = took.as_nanos() as f64 / calls as f64;
    Ok(Counters::block(before, after, calls, mean_ns, samples))
}

/// How many calls make a block, after some that warm up.
fn calibrate(mut many: impl FnMut(u64) -> Result<()>, effort: Effort) -> Result<u64> {
    let mut calls = 128;
    loop {
        let start = Instant::now();
        many(calls)?;
        let took = start.elapsed();
        if took * 4 > effort.hot() {
            let share = effort.hot().as_secs_f64() / took.as_secs_f64();
            return Ok((calls as f64 * share) as u64 + 1);
        }
        calls *= 2;
    }
}
