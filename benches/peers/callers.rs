//! `call/callers-4`: four processes that call one, hot, wherever the scheduler puts them. What they
//! do together is compared with what one of them does alone, in blocks that take turns: nothing
//! may be lost by being many.
//!
//! The provider is Callgate's callee of the other scenarios. A block lasts a while, instead of so
//! many calls, so that all callers call all the time; its mean is that time by all their calls.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::alarm;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tempfile::TempDir;

use crate::Result;
use crate::block::{Block, Counters, Effort, HANGS_AFTER_S, clock_cost};
use crate::child::Callee;
use crate::outcome::Outcome;
use crate::place::CpuClocks;
use crate::scenario::{ONE_CALLER, Scenario};
use crate::systems::{self, Client, Setup, System};

/// The argument that makes a process a caller, instead of the name of a system to serve.
pub(crate) const CALLER: &str = "one-of-several-callers";

const SYSTEM: &str = "callgate";
const CALLERS: usize = 4;
const LASTS: Duration = Duration::from_millis(100);
/// One call in this many is timed by itself.
const SAMPLE_EVERY: u64 = 64;
/// No more than a pipe takes at once.
const SAMPLES: usize = 500;
/// Each caller's numbers, which none of the others uses.
const NUMBERS: u64 = 1 << 40;

fn system() -> Result<&'static dyn System> {
    let found = systems::all().iter().find(|system| system.id() == SYSTEM);
    Ok(*found.ok_or("Callgate is not among the systems")?)
}

/// Is a caller's process: calls for a block on each line, and says how many calls those were, and
/// what some of them took.
pub(crate) fn be(setup: &Setup) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut client = system()?.client(setup)?;
    let clock_ns = clock_cost();
    let mut next = u64::from(std::process::id()) * NUMBERS + 1;
    client.call(next)?;
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let first = next + 1;
        let samples = call_for_a_block(&mut *client, &mut next, clock_ns)?;
        let samples: Vec<String> = samples.iter().map(u64::to_string).collect();
        println!("{} {}", next + 1 - first, samples.join(" "));
    }
    Ok(())
}

fn call_for_a_block(client: &mut dyn Client, last: &mut u64, clock_ns: u64) -> Result<Vec<u64>> {
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while begun.elapsed() < LASTS {
        client.call_many(*last + 1, SAMPLE_EVERY - 1)?;
        *last += SAMPLE_EVERY;
        let start = Instant::now();
        client.call(*last)?;
        let took = u64::try_from(start.elapsed().as_nanos())?;
        if samples.len() < SAMPLES {
            samples.push(took.saturating_sub(clock_ns));
        }
    }
    Ok(samples)
}

/// A caller's process, as seen from here.
struct Caller {
    child: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Caller {
    fn start(place: &Path) -> Result<Caller> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", CALLER, "--scenario"])
            .args([Scenario::FourCallers.name(), "--place"])
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no way to give orders")?;
        let words = child.stdout.take().ok_or("nothing to read")?;
        let words = BufReader::new(words).lines();
        let mut caller = Caller {
            child,
            orders,
            words,
        };
        caller.word()?;
        Ok(caller)
    }

    fn go(&mut self) -> Result<()> {
        writeln!(self.orders)?;
        Ok(self.orders.flush()?)
    }

    fn word(&mut self) -> Result<String> {
        Ok(self.words.next().ok_or("a caller has ended")??)
    }

    /// How many calls it made, and what some of them took.
    fn made(&mut self) -> Result<(u64, Vec<u64>)> {
        let word = self.word()?;
        let mut numbers = word.split_whitespace().map(str::parse);
        let calls = numbers.next().ok_or("a caller says nothing")??;
        Ok((calls, numbers.collect::<std::result::Result<_, _>>()?))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets callers call for a block.
fn block(callers: &mut [Caller], clocks: &CpuClocks) -> Result<Block> {
    let before = Counters::read(clocks)?;
    callers.iter_mut().try_for_each(Caller::go)?;
    let (mut calls, mut samples) = (0, Vec::new());
    for caller in callers {
        let (its, took) = caller.made()?;
        calls += its;
        samples.extend(took);
    }
    let after = Counters::read(clocks)?;
    let mean_ns = LASTS.as_nanos() as f64 / calls as f64;
    Ok(Counters::block(before, after, calls, mean_ns, samples))
}

pub(crate) fn measure(effort: Effort, random: &mut StdRng) -> Result<Outcome> {
    let mut outcome = Outcome::new(Scenario::FourCallers);
    let mut order = [ONE_CALLER, SYSTEM];
    for at in 0..effort.blocks {
        alarm::set(HANGS_AFTER_S);
        order.shuffle(random);
        round(&mut outcome, at, order)?;
    }
    Ok(outcome)
}

/// A block of each, with processes of their own.
fn round(outcome: &mut Outcome, round: usize, order: [&'static str; 2]) -> Result<()> {
    let place = TempDir::with_prefix("callgate-bench-")?;
    let setup = Setup {
        scenario: Scenario::FourCallers,
        place: place.path().to_owned(),
    };
    let system = system()?;
    let _host = system.host(&setup)?;
    let mut callee = Callee::start(system, Scenario::FourCallers, place.path())?;
    callee.go()?;
    let callers = (0..CALLERS).map(|_| Caller::start(place.path()));
    let mut callers = callers.collect::<Result<Vec<_>>>()?;
    let others: Vec<u32> = callers.iter().map(|caller| caller.child.id()).collect();
    let clocks = CpuClocks::new(callee.pid(), &others)?;
    for name in order {
        let count = if name == ONE_CALLER { 1 } else { CALLERS };
        outcome.add(round, name, block(&mut callers[..count], &clocks)?);
    }
    Ok(())
}
