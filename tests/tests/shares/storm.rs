//! Sixteen processes make, read, publish and let go of shares at random, and are killed. Afterwards no making is left
//! whose maker has died, and no memory that is not counted.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use callgate_tests::proc::{Holdings, eventually};
use callgate_tests::random::Random;
use callgate_tests::{Bus, PATIENCE, Process, proc, programs};
use nix::sys::signal::Signal;

use crate::scene::{expect_no_shares, holder};

const PROCESSES: usize = 16;
/// The longest pause between two kills, in milliseconds.
const PAUSE: u64 = 60;

struct Party {
    process: Process,
    /// How many operations it has reported.
    did: u64,
    /// When it reported something last.
    heard: Instant,
    is_ready: bool,
}

struct Storm {
    bus: Bus,
    random: Random,
    parties: Vec<Party>,
    /// How many were started, so that each has another name.
    started: u64,
    /// The operations of those that have ended.
    did: u64,
}

impl Storm {
    fn start(&mut self) -> Party {
        self.started += 1;
        let name = format!("storm-{}", self.started);
        let seed = self.random.number().to_string();
        Party {
            process: Process::spawn(self.bus.peer_command("share-storm", &name, &[&seed])),
            did: 0,
            heard: Instant::now(),
            is_ready: false,
        }
    }

    /// Reads all reports, and starts processes again that have killed themselves.
    fn hear(&mut self) {
        for at in 0..self.parties.len() {
            let is_alive = proc::is_alive(self.parties[at].process.id());
            self.parties[at].hear();
            if !is_alive {
                self.replace(at);
            }
        }
    }

    fn replace(&mut self, at: usize) {
        let next = self.start();
        let mut before = std::mem::replace(&mut self.parties[at], next);
        before.kill();
        before.hear();
        self.did += before.did;
    }

    fn total(&self) -> u64 {
        let living = self.parties.iter().map(|party| party.did);
        self.did + living.sum::<u64>()
    }

    /// Makes each process let go of everything. Some kill themselves at the last moment.
    fn rest(&mut self) {
        for party in &mut self.parties {
            party.process.close_input();
        }
        self.parties.retain_mut(Party::rests);
    }
}

impl Party {
    /// Kills it, unless it has killed itself. If it has found a fault, it has ended with an exit code.
    fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        let code = self.process.wait().code();
        assert_eq!(code, None, "a process found a fault, see above");
    }

    /// Waits until it has let go of everything; false if it has killed itself before.
    fn rests(&mut self) -> bool {
        loop {
            match self.process.line(3 * PATIENCE) {
                Ok(line) if line == "resting" => return true,
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => panic!("it has hung after {}", self.did),
                Err(RecvTimeoutError::Disconnected) => {
                    self.kill();
                    return false;
                }
            }
        }
    }

    fn hear(&mut self) {
        while let Ok(line) = self.process.line(Duration::ZERO) {
            self.take(&line);
        }
        let quiet = self.heard.elapsed();
        assert!(
            quiet < 3 * PATIENCE,
            "it has hung for {quiet:?} after {}",
            self.did
        );
    }

    fn take(&mut self, line: &str) {
        self.heard = Instant::now();
        match line.strip_prefix("did ") {
            Some(count) => self.did = self.did.max(count.parse().expect("a number")),
            None => self.is_ready = true,
        }
    }
}

fn storm(operations: u64) {
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    // After a first share with a superseded version, the broker has opened and allocated everything that it needs
    // once.
    let (mut maker, mut reader) = (holder(&bus, "maker"), holder(&bus, "reader"));
    assert_eq!(maker.ask("make First 1 100"), "1");
    assert_eq!(reader.ask("get First"), "1");
    assert_eq!(maker.ask("publish First 2 100"), "2");
    assert_eq!(reader.ask("get First"), "2");
    [maker, reader].into_iter().for_each(Process::kill);
    expect_no_shares(&bus);
    let before = Holdings::at_rest(broker);
    let mut idle = bus.peer("idle", "idle", &[]);
    let as_idle = Holdings::at_rest(idle.id());
    idle.end();
    let random = Random::new("a storm of shares");
    let (parties, started, did) = (Vec::new(), 0, 0);
    let mut storm = Storm {
        bus,
        random,
        parties,
        started,
        did,
    };
    for _ in 0..PROCESSES {
        let party = storm.start();
        storm.parties.push(party);
    }
    while storm.total() < operations {
        storm.random.pause(PAUSE);
        storm.hear();
        let at = storm.random.below(PROCESSES);
        if storm.parties[at].is_ready {
            storm.replace(at);
        }
    }
    println!("{} operations, {} processes", storm.total(), storm.started);
    eventually("all are ready", || {
        storm.hear();
        match storm.parties.iter().all(|party| party.is_ready) {
            true => Ok(()),
            false => Err("not all".to_owned()),
        }
    });
    storm.rest();
    expect_no_shares(&storm.bus);
    for party in &storm.parties {
        as_idle.expect_again("a process that rests", party.process.id());
    }
    storm.parties.clear();
    before.expect_again("the broker", broker);
}

#[test]
fn sixteen_processes_that_are_killed_at_random_leave_nothing_and_read_nothing_wrong() {
    storm(10_000);
}

#[test]
#[ignore = "a million operations: many minutes"]
fn a_million_operations_leave_nothing() {
    storm(1_000_000);
}
