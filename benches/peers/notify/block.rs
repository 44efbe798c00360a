//! One sender with its listeners, and one block of its events.

use std::any::Any;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::alarm;
use tempfile::TempDir;

use super::tally::{Counted, LAST, SLOW_FOR, now};
use super::{BATCH, Bus, Events, Sender};
use crate::Result;
use crate::block::{Block, Effort, HANGS_AFTER_S};
use crate::child::Callee;
use crate::place;
use crate::scenario::Scenario;
use crate::systems::Setup;

/// Events that are sent without waiting, where the sender's CPU is measured: as many as a ring of 256 KiB and a socket's
/// buffers hold.
const BURST: u64 = 1_000;
const SOCKET_BURST: u64 = 100;
/// Bursts of a block.
const BURSTS: u64 = 10;
/// How long listeners are left alone, so that they sleep when the next event comes; and longer for each of them, since they share a
/// core.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_EACH: Duration = Duration::from_micros(50);
/// Events of a block in which listeners sleep, and of those with many of them.
const PAUSED: u64 = 50;
const PAUSED_WITH_MANY: u64 = 10;
/// Events of a slow listener's block between two looks at the clock.
const BETWEEN_LOOKS: u64 = 256;

struct Scene {
    events: Events,
    sender: Box<dyn Sender>,
    listeners: Vec<Callee>,
    burst: u64,
    /// The number of the next event; none is used twice.
    next: u64,
    _host: Box<dyn Any>,
    _place: TempDir,
}

/// Starts all of them, makes a block and ends them. Leaves this thread pinned.
pub(super) fn measure(
    bus: &'static dyn Bus,
    scenario: Scenario,
    events: Events,
    count: &mut Option<u64>,
    effort: Effort,
) -> Result<Block> {
    alarm::set(HANGS_AFTER_S);
    let mut scene = Scene::start(bus, scenario, events)?;
    place::pin_thread(0)?;
    match events {
        Events::Stream | Events::Batch => {
            let count = match *count {
                Some(count) => count,
                None => *count.insert(scene.calibrate(effort)?),
            };
            scene.stream(count / 8 + 1)?;
            scene.stream(count)
        }
        Events::Awake(_) => scene.bursts(),
        Events::Asleep(_) | Events::Wake => scene.paused(),
        Events::Slow => scene.slow(),
    }
}

impl Scene {
    fn start(bus: &'static dyn Bus, scenario: Scenario, events: Events) -> Result<Scene> {
        let place = TempDir::with_prefix("callgate-bench-")?;
        let setup = Setup {
            scenario,
            place: place.path().to_owned(),
        };
        let mut host = bus.host(&setup, events)?;
        let begin = |nth| Callee::begin(bus.id(), scenario, place.path(), nth);
        let listeners = (0..events.listeners()).map(begin);
        let mut listeners = listeners.collect::<Result<Vec<_>>>()?;
        listeners.iter_mut().try_for_each(Callee::wait_ready)?;
        Ok(Scene {
            events,
            sender: bus.sender(&setup, events, &mut *host)?,
            listeners,
            burst: match bus.name() {
                "uds" | "zbus-p2p" => SOCKET_BURST,
                _ => BURST,
            },
            next: 0,
            _host: host,
            _place: place,
        })
    }

    fn send(&mut self, count: u64) -> Result<()> {
        let numbers = self.next..self.next + count;
        self.next += count;
        match self.events {
            Events::Batch => self.sender.send_batches(numbers),
            _ => self.sender.send(numbers),
        }
    }

    /// Lets the listeners listen until they are told that it was the last.
    fn go(&mut self) -> Result<Counters> {
        self.listeners.iter_mut().try_for_each(Callee::go)?;
        thread::sleep(self.pause());
        Counters::read(&self.listeners)
    }

    fn pause(&self) -> Duration {
        PAUSE + PAUSE_EACH * (self.listeners.len() as u32 - 1)
    }

    /// Ends what [`Scene::go`] began, and checks that all came.
    fn rest(&mut self) -> Result<Vec<Counted>> {
        self.sender.send(LAST..LAST + 1)?;
        let (sent, may_lose) = (self.next, self.events.drops_the_oldest());
        let counted = self.listeners.iter_mut().map(|listener| {
            let counted = Counted::read(&listener.rest()?)?;
            counted.check(sent, may_lose)?;
            Ok(counted)
        });
        counted.collect()
    }

    /// Finds out how many events make a block.
    fn calibrate(&mut self, effort: Effort) -> Result<u64> {
        let mut count = 512;
        loop {
            let mean_ns = self.stream(count)?.mean_ns;
            let wanted = effort.hot().as_nanos() as f64;
            if mean_ns * count as f64 > wanted / 4.0 {
                return Ok((wanted / mean_ns) as u64 / BATCH as u64 * BATCH as u64 + BATCH as u64);
            }
            count *= 2;
        }
    }

    /// Events that follow each other, until the last was handled.
    fn stream(&mut self, count: u64) -> Result<Block> {
        let before = self.go()?;
        let start = now()?;
        self.send(count)?;
        let used = cpu()? - before.cpu_ns;
        let counted = self.rest()?;
        let ended = counted.iter().map(|counted| counted.ended).max();
        let mean_ns = (ended.unwrap_or(start) - start) as f64 / count as f64;
        let after = Counters::read(&self.listeners)?;
        Ok(before.block(&after, count, mean_ns, used, vec![mean_ns as u64]))
    }

    /// Events that nobody waits for, several times.
    fn bursts(&mut self) -> Result<Block> {
        let (mut used, mut sleeps) = (0, 0);
        let mut samples = Vec::new();
        // The first is not counted.
        for nth in 0..=BURSTS {
            let before = self.go()?;
            let began = cpu()?;
            self.send(self.burst)?;
            let took = cpu()? - began;
            if nth > 0 {
                used += took;
                samples.push(took / self.burst);
                sleeps += Counters::read(&self.listeners)?.sleeps - before.sleeps;
            }
            self.rest()?;
        }
        let count = BURSTS * self.burst;
        let per_event = |sum: u64| sum as f64 / count as f64;
        Ok(Block {
            mean_ns: per_event(used),
            cpu_ns_per_op: per_event(used),
            sleeps_per_op: per_event(sleeps),
            faults_per_op: 0.0,
            samples,
        })
    }

    /// Events with a pause before each.
    fn paused(&mut self) -> Result<Block> {
        let count = match self.listeners.len() {
            many if many >= 100 => PAUSED_WITH_MANY,
            _ => PAUSED,
        };
        self.go()?;
        for _ in 0..3 {
            self.send(1)?;
            thread::sleep(self.pause());
        }
        let before = Counters::read(&self.listeners)?;
        let (mut used, mut costs, mut sent) = (0, Vec::new(), Vec::new());
        for _ in 0..count {
            thread::sleep(self.pause());
            let began = cpu()?;
            sent.push(now()?);
            self.send(1)?;
            costs.push(cpu()? - began);
            used += costs.last().copied().unwrap_or(0);
        }
        thread::sleep(self.pause());
        let after = Counters::read(&self.listeners)?;
        let counted = self.rest()?;
        let samples = match self.events {
            Events::Wake => {
                let came = &counted[0].times[3..];
                let pairs = came.iter().zip(&sent);
                pairs
                    .map(|(came, sent)| came.saturating_sub(*sent))
                    .collect()
            }
            _ => costs,
        };
        let mean_ns = samples.iter().sum::<u64>() as f64 / count as f64;
        Ok(before.block(&after, count, mean_ns, used, samples))
    }

    /// As many events as can be sent while the listener is slow.
    fn slow(&mut self) -> Result<Block> {
        let before = self.go()?;
        let first = self.next;
        let (start, began) = (Instant::now(), cpu()?);
        let mut samples = Vec::new();
        while start.elapsed() < SLOW_FOR / 2 {
            let start = Instant::now();
            self.send(BETWEEN_LOOKS)?;
            samples.push(u64::try_from(start.elapsed().as_nanos())? / BETWEEN_LOOKS);
        }
        let count = self.next - first;
        let mean_ns = start.elapsed().as_nanos() as f64 / count as f64;
        let used = cpu()? - began;
        let after = Counters::read(&self.listeners)?;
        self.rest()?;
        Ok(before.block(&after, count, mean_ns, used, samples))
    }
}

/// Nanoseconds of CPU that this process has used.
fn cpu() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// What the kernel counts: of this process its CPU, of the listeners how often they went to sleep.
struct Counters {
    cpu_ns: u64,
    sleeps: u64,
}

impl Counters {
    fn read(listeners: &[Callee]) -> Result<Counters> {
        let sleeps = listeners
            .iter()
            .map(|listener| place::sleeps(listener.pid()));
        Ok(Counters {
            sleeps: sleeps.sum::<Result<u64>>()?,
            cpu_ns: cpu()?,
        })
    }

    fn block(
        &self,
        after: &Counters,
        count: u64,
        mean_ns: f64,
        used: u64,
        samples: Vec<u64>,
    ) -> Block {
        Block {
            mean_ns,
            cpu_ns_per_op: used as f64 / count as f64,
            sleeps_per_op: (after.sleeps - self.sleeps) as f64 / count as f64,
            faults_per_op: 0.0,
            samples,
        }
    }
}
