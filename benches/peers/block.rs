//! One pair of processes, and one block of its calls.

use std::any::Any;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::alarm;
use tempfile::TempDir;

use crate::Result;
use crate::child::Callee;
use crate::payload::STOP;
use crate::place::CpuClocks;
use crate::scenario::Scenario;
use crate::systems::{Client, Setup, System};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Blocks of each system.
    pub(crate) blocks: usize,
    /// How long the calls of a block take that are timed together.
    hot: Duration,
    /// Calls of a block that are timed each, where calls follow each other at once.
    samples: u64,
    /// Calls of a block with pauses.
    cold: u64,
    /// Connections of a block.
    connects: u64,
}

impl Effort {
    pub(crate) const FULL: Effort = Effort {
        blocks: 40,
        hot: Duration::from_millis(30),
        samples: 1000,
        cold: 100,
        connects: 20,
    };

    pub(crate) const QUICK: Effort = Effort {
        blocks: 5,
        hot: Duration::from_millis(20),
        samples: 500,
        cold: 60,
        connects: 10,
    };

    /// Blocks of each system, where there are a hundred processes.
    pub(crate) fn blocks_of_many(self) -> usize {
        match self.blocks {
            40.. => 30,
            _ => 1,
        }
    }

    /// How long a block lasts whose calls or events follow each other.
    pub(crate) fn hot(self) -> Duration {
        self.hot
    }
}

/// A block that takes longer than this hangs, and ends the program.
pub(crate) const HANGS_AFTER_S: u32 = 60;
/// In a hot block's second part, one call in this many is timed by itself.
const SAMPLE_EVERY: u64 = 8;
/// Calls that are not measured at a block's start, where each is timed; with pauses where those that
/// are measured have some.
const WARM_UP: u64 = 3;
const WARM_UP_WITH_PAUSES: u64 = 32;

/// The results of one block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) mean_ns: f64,
    pub(crate) cpu_ns_per_op: f64,
    /// How often the callee went to sleep for a call.
    pub(crate) sleeps_per_op: f64,
    /// Page faults of both for a call.
    pub(crate) faults_per_op: f64,
    /// The times of single calls, in nanoseconds.
    pub(crate) samples: Vec<u64>,
}

/// A caller, its callee and what both stand on.
pub(crate) struct Pair {
    scenario: Scenario,
    client: Box<dyn Client>,
    callee: Callee,
    clocks: CpuClocks,
    /// The number of the next call; none is used twice.
    next: u64,
    _host: Box<dyn Any>,
    _place: TempDir,
}

impl Pair {
    /// Starts the callee, connects and makes the first calls.
    pub(crate) fn start(system: &'static dyn System, scenario: Scenario) -> Result<Pair> {
        alarm::set(HANGS_AFTER_S);
        let place = TempDir::with_prefix("callgate-bench-")?;
        let setup = Setup {
            scenario,
            place: place.path().to_owned(),
        };
        let host = system.host(&setup)?;
        let callee = Callee::start(system, scenario, place.path())?;
        let mut pair = Pair {
            scenario,
            client: system.client(&setup)?,
            clocks: CpuClocks::new(callee.pid(), &[])?,
            callee,
            next: 1,
            _host: host,
            _place: place,
        };
        pair.awake(|pair| pair.warm_up(WARM_UP))?;
        Ok(pair)
    }

    /// Finds out how many calls make a block.
    pub(crate) fn calibrate(&mut self, effort: Effort) -> Result<u64> {
        match self.scenario {
            Scenario::Connect | Scenario::Shares(_) => return Ok(effort.connects),
            scenario if !scenario.is_hot() => return Ok(effort.cold),
            _ => {}
        }
        self.awake(|pair| {
            let mut calls = 16;
            loop {
                let start = Instant::now();
                pair.many(calls)?;
                let took = start.elapsed();
                if took * 4 > effort.hot {
                    let share = effort.hot.as_secs_f64() / took.as_secs_f64();
                    return Ok((calls as f64 * share) as u64 + 1);
                }
                calls *= 2;
            }
        })
    }

    /// Makes a block of calls.
    pub(crate) fn block(&mut self, effort: Effort, calls: u64, clock_ns: u64) -> Result<Block> {
        self.awake(|pair| match pair.scenario.is_hot() {
            true => pair.hot(effort, calls, clock_ns),
            false => pair.single(calls, clock_ns),
        })
    }

    /// Lets the callee serve while something is done.
    fn awake<T>(&mut self, work: impl FnOnce(&mut Pair) -> Result<T>) -> Result<T> {
        alarm::set(HANGS_AFTER_S);
        self.callee.go()?;
        let done = work(self)?;
        self.client.call(STOP)?;
        self.client.settle()?;
        self.callee.rest()?;
        Ok(done)
    }

    fn many(&mut self, count: u64) -> Result<()> {
        let first = self.next;
        self.next += count;
        self.client.call_many(first, count)
    }

    fn warm_up(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            self.many(1)?;
            self.client.settle()?;
        }
        Ok(())
    }

    /// Calls that follow each other: many timed together, then some timed each.
    fn hot(&mut self, effort: Effort, calls: u64, clock_ns: u64) -> Result<Block> {
        self.many(calls / 8 + 1)?;
        let before = self.counters()?;
        let start = Instant::now();
        self.many(calls)?;
        let took = start.elapsed();
        let after = self.counters()?;
        let mut samples = Vec::with_capacity(usize::try_from(effort.samples)?);
        for _ in 0..effort.samples.min(calls / 2) {
            self.many(SAMPLE_EVERY - 1)?;
            samples.push(self.timed(clock_ns)?);
        }
        let mean_ns = took.as_nanos() as f64 / calls as f64;
        Ok(Counters::block(before, after, calls, mean_ns, samples))
    }

    /// Calls that are timed each, with what the scenario has between them.
    fn single(&mut self, count: u64, clock_ns: u64) -> Result<Block> {
        let pause = self.scenario.pause();
        match pause.is_zero() {
            true => self.warm_up(WARM_UP)?,
            // Calls without pauses would leave the sides on a core each, where the first of those with
            // pauses still find them.
            false => (0..WARM_UP_WITH_PAUSES).try_for_each(|_| {
                thread::sleep(pause);
                self.warm_up(1)
            })?,
        }
        let mut samples = Vec::with_capacity(usize::try_from(count)?);
        let before = self.counters()?;
        for _ in 0..count {
            thread::sleep(pause);
            samples.push(self.timed(clock_ns)?);
            self.client.settle()?;
        }
        let after = self.counters()?;
        let mean_ns = samples.iter().sum::<u64>() as f64 / count as f64;
        Ok(Counters::block(before, after, count, mean_ns, samples))
    }

    fn timed(&mut self, clock_ns: u64) -> Result<u64> {
        let number = self.next;
        self.next += 1;
        let start = Instant::now();
        self.client.call(number)?;
        let took = u64::try_from(start.elapsed().as_nanos())?;
        Ok(took.saturating_sub(clock_ns))
    }

    fn counters(&self) -> Result<Counters> {
        Counters::read(&self.clocks)
    }
}

/// The kernel's counters, summed up over all processes that take part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    cpu_ns: u64,
    sleeps: u64,
    faults: u64,
}

impl Counters {
    pub(crate) fn read(clocks: &CpuClocks) -> Result<Counters> {
        let (sleeps, faults) = (clocks.callee_sleeps()?, clocks.faults()?);
        Ok(Counters {
            cpu_ns: clocks.read()?,
            sleeps,
            faults,
        })
    }

    /// A block of so many calls, between two readings.
    pub(crate) fn block(
        before: Counters,
        after: Counters,
        ops: u64,
        mean_ns: f64,
        samples: Vec<u64>,
    ) -> Block {
        let per_op = |count: u64| count as f64 / ops as f64;
        Block {
            mean_ns,
            cpu_ns_per_op: per_op(after.cpu_ns - before.cpu_ns),
            sleeps_per_op: per_op(after.sleeps - before.sleeps),
            faults_per_op: per_op(after.faults - before.faults),
            samples,
        }
    }
}

/// The cost that timing adds to a call: two reads of the clock, less the time between them.
pub(crate) fn clock_cost() -> u64 {
    let read = || Instant::now().elapsed().as_nanos();
    let least = (0..10_000).map(|_| read()).min().unwrap_or(0);
    u64::try_from(least).unwrap_or(0)
}
