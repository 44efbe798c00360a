//! A call beside its limit and its peers.
//!
//! ```text
//! cargo bench -p callgate-benches --bench peers
//!     [-- --quick] [--scenario NAME]... [--system NAME]... [--seed NUMBER]
//! ```
//!
//! prints a table a scenario and writes `target/callgate/peers.json`.
//!
//! # Method
//!
//! **Two processes.** The callee of each system is a process of its own: this program again, with
//! hidden arguments. Caller and callee are pinned to the cores that the scenario says. Both are
//! set up anew for each block and end with it, so that nobody spins in another's time, and
//! because a start makes a difference: the spinning limit took 116 to 190 ns, one start to the
//! next, and hardly changed until the end of each, presumably by where the kernel put its memory.
//! Kept for a whole run, that would be a bias which no interval shows.
//!
//! **Rounds.** What a virtual machine's neighbours do changes by the minute, by far more than
//! what is compared here. So every system has a short block in each round, in an order drawn
//! anew; what is compared are blocks of one round, and what is reported is the median of these
//! paired ratios with a bootstrap interval of 95 %. The seed is printed. Figures of two runs, or
//! of two scenarios, are not comparable beyond that. `callgate-again` is Callgate a second time:
//! by as much as it differs from `callgate`, differences mean nothing.
//!
//! **The limit** (`systems/limit.rs`) is in every round. Where it spins and takes more than
//! 130 ns a round trip, the machine was disturbed or the memory lay badly: such rounds count for
//! differences alone; the table says how many counted. Where less than half are left, ratios are
//! over all rounds, and table, claims and report (`ratio_disturbed`) say so: what is left is then not
//! what was quiet, but the moments in which the host had both cores share one.
//!
//! **Time.** Where calls follow each other, a block's calls are timed together, since reading
//! the clock takes a fifth of such a call; then some are timed each, for the quantiles, less the
//! cost of the clock. Quantiles are higher than means there: a call timed by itself does not
//! overlap with its neighbours. Where there are pauses, each call is timed. `mean` is the median
//! over blocks of their means; quantiles are over all calls timed by themselves.
//!
//! **CPU** is what both processes used, by the kernel's clocks of both (the embedded broker's
//! thread is in it), in cold scenarios with the caller's own sleep; connecting includes taking
//! down what was connected. `sleeps` is how often the callee's threads went to sleep for a call,
//! as the kernel counts it: 1 where the callee was parked each time, 0 where it polled.
//!
//! **A quiet machine.** Other programs on the same cores show, most of all where a system yields
//! to them. `callgate-again` tells. `chrt -f 10` in front of the program keeps most of that out,
//! but then nobody who yields is ever kept waiting either.
//!
//! **Page faults** are those of both processes, a call.
//!
//! **Typed payloads** (`systems/typed.rs`) go to and fro as vectors that both sides have as values; they
//! are compared with a Unix socket that does the same.
//!
//! **JSON** (`systems/json.rs`): records between sides whose types differ. `callgate-json` converts them, `callgate-exact` is the same
//! call between equal types, and `uds-json` the same JSON over a Unix socket, by serde_json.
//!
//! **Other arrangements.** `call/callers-4` (`callers.rs`) and `call/in-process` (`inside.rs`) are no
//! pairs and have only Callgate in them: four callers beside one caller, and calls inside a process
//! beside a virtual call. What a row's ratio is to stands in it as `reference`.
//!
//! **Events** (`notify/`) have a sender and any number of listeners, and systems of their own; the limit there is bare
//! entries in a ring.
//!
//! **Children on pipes** (`stdio/`) are called through the runtime, beside a bare pipe with the same lines.
//!
//! **Checked.** Every answer is computed from the request and compared.
#![deny(unsafe_code)]

mod block;
mod callers;
mod child;
mod claims;
mod inside;
mod notify;
mod outcome;
mod payload;
mod place;
#[allow(unsafe_code, reason = "the C interfaces of what is measured")]
mod raw;
mod report;
mod run;
mod scenario;
mod share;
mod stats;
mod stdio;
mod systems;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;

use block::Effort;
use scenario::Scenario;
use systems::Setup;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Compares a call with its limit and with other systems.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Fewer and shorter blocks: under a minute in all.
    #[arg(long)]
    quick: bool,
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// Only this system beside the limit; may be given several times.
    #[arg(long, value_name = "NAME")]
    system: Vec<String>,
    /// Draws the same order of blocks again.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Be the callee of this system.
    #[arg(long, hide = true, requires = "place")]
    serve: Option<String>,
    /// Which of several listeners to be.
    #[arg(long, hide = true, default_value_t = 0)]
    nth: usize,
    /// Where the two meet.
    #[arg(long, hide = true)]
    place: Option<PathBuf>,
    /// Cargo says this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.serve {
        Some(system) => serve(system, &arguments),
        None => compare(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(id: &str, arguments: &Arguments) -> Result<()> {
    let scenario = arguments.scenario.first().ok_or("no scenario")?;
    let setup = Setup {
        scenario: *scenario,
        place: arguments.place.clone().ok_or("no place")?,
    };
    if id == callers::CALLER {
        return callers::be(&setup);
    }
    if let Scenario::Events(events) = setup.scenario {
        return notify::listen(id, &setup, events, arguments.nth);
    }
    if let Scenario::Stdio(_) = setup.scenario {
        return stdio::be(id, &setup);
    }
    let system = run::of(setup.scenario)
        .iter()
        .find(|system| system.id() == id);
    child::be(*system.ok_or("no such system")?, &setup)
}

fn compare(arguments: &Arguments) -> Result<()> {
    check_names(&arguments.system)?;
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}, {} rounds", effort.blocks);
    let mut random = StdRng::seed_from_u64(seed);
    let (mut outcomes, mut rows) = (Vec::new(), Vec::new());
    for scenario in Scenario::ALL {
        if !arguments.scenario.is_empty() && !arguments.scenario.contains(&scenario) {
            continue;
        }
        if scenario.cores().is_some_and(|(_, callee)| callee > 0) && !place::has_two_cores() {
            println!("\n{}: skipped, it needs the cores 0 and 1", scenario.name());
            continue;
        }
        let outcome = run::scenario(scenario, &arguments.system, effort, &mut random)?;
        let Some(outcome) = outcome else {
            continue;
        };
        let its = report::rows(&outcome, &mut random)?;
        report::print(&outcome, &its);
        rows.extend(its);
        outcomes.push(outcome);
    }
    claims::print(&outcomes, &rows, &mut random);
    println!("\nwritten to {}", report::write(rows)?.display());
    Ok(())
}

fn check_names(names: &[String]) -> Result<()> {
    let known = run::names();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(format!("no system is called {name}; there are {}", known.join(", ")).into())
        }
    }
}
