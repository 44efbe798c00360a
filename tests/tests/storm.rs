//! Kills and stops at random instants, while calls with payloads of up to eight megabytes run in threads, pools,
//! pumps and chains.
//!
//! It runs a few seconds by default, or `CALLGATE_STORM` seconds. `CALLGATE_SEED` repeats the same choices, but not
//! those of the scheduler.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use callgate_tests::proc::{Holdings, eventually};
use callgate_tests::random::Random;
use callgate_tests::storm::Counts;
use callgate_tests::{Bus, Process, proc, programs};
use nix::sys::signal::Signal;

/// The last of them is stopped, but never killed.
const PROVIDERS: [(&str, &str); 4] = [
    ("anvil", "thread"),
    ("bellows", "pool"),
    ("chisel", "pump"),
    ("steady", "thread"),
];
/// The same for callers.
const CALLERS: [(&str, &str); 3] = [("west", "thread"), ("east", "pump"), ("constant", "pool")];
/// Doorbell and status page, which every plugin has.
const OWN_PAGES: usize = 2;
/// Both outboxes, the peer's status page and its doorbell.
const LINK_MAPS: usize = 4;
/// The longest stop, in milliseconds.
const STOP: usize = 3_000;
/// How many are stopped at a time.
const STOPPED: usize = 2;
/// Gates of each provider.
const GATES: usize = 3;

fn length() -> Duration {
    let given = std::env::var("CALLGATE_STORM").ok();
    Duration::from_secs(given.and_then(|secs| secs.parse().ok()).unwrap_or(4))
}

/// A plugin that is stopped, or killed and started again.
struct Party {
    name: &'static str,
    mode: &'static str,
    is_caller: bool,
    is_mortal: bool,
    process: Process,
    stopped_until: Option<Instant>,
    is_ready: bool,
    is_resting: bool,
    /// Whether it knows that there may be no broker.
    is_warned: bool,
    /// Its counts, as far as it has reported them.
    counts: Counts,
}

impl Party {
    fn start(bus: &Bus, (name, mode): (&'static str, &'static str), random: &mut Random) -> Party {
        let is_caller = CALLERS.iter().any(|(caller, _)| *caller == name);
        let seed = random.number().to_string();
        let names = |all: &[(&'static str, &str)]| -> Vec<&'static str> {
            all.iter().map(|(name, _)| *name).collect()
        };
        let (role, more) = match is_caller {
            true => (
                "storm-caller",
                [&[mode, seed.as_str()][..], &names(&PROVIDERS)].concat(),
            ),
            false => ("storm-provider", [&[mode][..], &names(&CALLERS)].concat()),
        };
        Party {
            name,
            mode,
            is_caller,
            is_mortal: name != "steady" && name != "constant",
            process: Process::spawn(bus.peer_command(role, name, &more)),
            stopped_until: None,
            is_ready: false,
            is_resting: false,
            is_warned: false,
            counts: Counts::default(),
        }
    }

    /// Reads what it has printed. Fails the test if it has ended, which it does when it finds a fault.
    fn hear(&mut self) {
        let is_alive = proc::is_alive(self.process.id());
        while let Ok(line) = self.process.line(Duration::ZERO) {
            match line.as_str() {
                "ready" => self.is_ready = true,
                "resting" => self.is_resting = true,
                "warned" => self.is_warned = true,
                line => self.counts = Counts::read(line).unwrap_or_else(|| panic!("{line}")),
            }
        }
        assert!(is_alive, "{} found a fault, see above", self.name);
    }

    fn stop(&mut self, millis: usize) {
        self.process.signal(Signal::SIGSTOP);
        self.stopped_until = Some(Instant::now() + Duration::from_millis(millis as u64));
    }

    fn go_on(&mut self) {
        self.process.signal(Signal::SIGCONT);
        self.stopped_until = None;
    }

    fn wait_for(&mut self, what: &str, is_so: impl Fn(&Party) -> bool) {
        eventually(&format!("{} {what}", self.name), || {
            self.hear();
            match is_so(self) {
                true => Ok(()),
                false => Err(format!("{:?}", self.counts)),
            }
        });
    }

    /// Waits until it has had right answers again from all of these gates.
    fn expect_progress(&mut self, gates: &[usize]) {
        let before = self.counts.doors.clone();
        let count = |doors: &[u64], at| doors.get(at).copied().unwrap_or_default();
        let wanted = |at: &usize| gates.contains(&(at % GATES));
        self.wait_for("is answered by all gates", |party| {
            let mut all = (0..PROVIDERS.len() * GATES).filter(wanted);
            all.all(|at| count(&party.counts.doors, at) > count(&before, at))
        });
    }

    /// Waits until it has the maps of its links and no others: no extent is kept.
    fn expect_links(&self, links: usize) {
        let (pid, expected) = (self.process.id(), OWN_PAGES + links * LINK_MAPS);
        eventually(
            &format!("{} has {links} links", self.name),
            || match proc::shared_maps(pid) {
                found if found == expected => Ok(()),
                found => Err(format!(
                    "{found} maps of {expected}: {:#?}",
                    proc::maps(pid)
                )),
            },
        );
    }
}

/// The bus and all plugins on it.
struct World {
    bus: Bus,
    parties: Vec<Party>,
    random: Random,
    /// The counts of those that were killed.
    told: Counts,
    killed: Vec<u32>,
    stops: usize,
    broker_stopped_until: Option<Instant>,
}

impl World {
    fn new(bus: Bus, mut random: Random) -> World {
        let all = PROVIDERS.iter().chain(&CALLERS);
        World {
            parties: all
                .map(|who| Party::start(&bus, *who, &mut random))
                .collect(),
            bus,
            random,
            told: Counts::default(),
            killed: Vec::new(),
            stops: 0,
            broker_stopped_until: None,
        }
    }

    fn callers(&mut self) -> impl Iterator<Item = &mut Party> {
        self.parties.iter_mut().filter(|party| party.is_caller)
    }

    fn storm(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.random.pause(150);
            self.parties.iter_mut().for_each(Party::hear);
            self.go_on(Instant::now());
            match self.random.below(20) {
                // Sometimes two at once.
                0..9 => (0..1 + self.random.below(4) / 3).for_each(|_| self.replace_one()),
                9..19 => self.stop_one(),
                _ => self.stop_broker(),
            }
        }
        self.go_on(Instant::now() + 2 * Duration::from_millis(STOP as u64));
    }

    /// Kills one, stopped or not, and starts it again under the same name.
    fn replace_one(&mut self) {
        let at = self.random.below(self.parties.len());
        let party = &mut self.parties[at];
        if !party.is_mortal {
            return;
        }
        party.hear();
        party.process.signal(Signal::SIGKILL);
        party.process.wait();
        self.killed.push(party.process.id());
        self.told.add(&party.counts);
        *party = Party::start(&self.bus, (party.name, party.mode), &mut self.random);
    }

    /// Mostly a moment, sometimes long.
    fn millis(&mut self) -> usize {
        1 + self.random.below(STOP) * self.random.below(STOP) / STOP
    }

    fn stop_one(&mut self) {
        let stopped = self
            .parties
            .iter()
            .filter(|party| party.stopped_until.is_some());
        if stopped.count() < STOPPED {
            let (at, millis) = (self.random.below(self.parties.len()), self.millis());
            self.parties[at].stop(millis);
            self.stops += 1;
        }
    }

    fn stop_broker(&mut self) {
        let millis = self.millis();
        let broker = self.bus.broker.as_ref().expect("it was started");
        broker.signal(Signal::SIGSTOP);
        self.broker_stopped_until = Some(Instant::now() + Duration::from_millis(millis as u64));
        self.stops += 1;
    }

    /// Continues those whose stop is over.
    fn go_on(&mut self, now: Instant) {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        for party in &mut self.parties {
            if is_over(party.stopped_until) {
                party.go_on();
            }
        }
        if is_over(self.broker_stopped_until) {
            let broker = self.bus.broker.as_ref().expect("it was started");
            broker.signal(Signal::SIGCONT);
            self.broker_stopped_until = None;
        }
    }

    fn expect_progress(&mut self, gates: &[usize]) {
        self.parties
            .iter_mut()
            .for_each(|party| party.wait_for("is ready", |party| party.is_ready));
        self.callers()
            .for_each(|caller| caller.expect_progress(gates));
    }

    fn say(&mut self, line: &str) {
        self.callers().for_each(|caller| caller.process.say(line));
    }

    fn rest(&mut self) {
        self.say("rest");
        for caller in self.callers() {
            caller.wait_for("ends its calls", |caller| caller.is_resting);
            caller.is_resting = false;
        }
    }

    /// What the processes hold that are never killed.
    fn held(&self) -> Vec<(u32, usize, Holdings)> {
        for party in &self.parties {
            let links = if party.is_caller {
                PROVIDERS.len()
            } else {
                CALLERS.len()
            };
            party.expect_links(links);
        }
        let constant = self.parties.iter().filter(|party| !party.is_mortal);
        let pids = constant.map(|party| party.process.id());
        pids.map(|pid| (pid, proc::threads(pid), Holdings::at_rest(pid)))
            .collect()
    }

    /// Ends the broker; linked plugins go on.
    fn lose_broker(&mut self) {
        self.say("go");
        self.say("no broker");
        self.callers()
            .for_each(|caller| caller.wait_for("is warned", |caller| caller.is_warned));
        self.random.pause(300);
        self.bus.kill_broker();
        // Large payloads would need memory from the broker.
        self.expect_progress(&[0]);
        self.rest();
    }

    fn kill_all(&mut self, which: impl Fn(&Party) -> bool) {
        for party in self.parties.extract_if(.., |party| which(party)) {
            self.killed.push(party.process.id());
            self.told.add(&party.counts);
            party.process.kill();
        }
    }
}

fn plugins(bus: &Bus) -> (usize, usize) {
    let listing = bus.plugin("onlooker").list().expect("a listing");
    let count = |what: &str| listing[what].as_array().map_or(0, Vec::len);
    (count("plugins"), count("links"))
}

/// Calls return soon after their deadlines, and with their own bytes. A plugin that was killed or stopped leaves
/// nothing behind, and all others can still be called.
#[test]
fn kills_and_stops_hurt_no_call_and_leave_nothing() {
    let mut random = Random::new("storm");
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    // After the first large call, the broker has allocated what it allocates once.
    let first = bus.peer("large", "first", &["100"]);
    let mut second = bus.peer("large", "second", &["100"]);
    assert_eq!(second.ask("call first Echo 2000000 1"), "OK");
    first.kill();
    second.kill();
    eventually("both are forgotten", || match plugins(&bus) {
        (1, 0) => Ok(()),
        listed => Err(format!("{listed:?} are listed")),
    });
    let broker_before = Holdings::at_rest(broker);
    let loses_broker = random.below(3) == 0;

    let begin = Instant::now();
    let mut world = World::new(bus, random);
    world.expect_progress(&[0, 1, 2]);
    println!("all are answered after {:.1?}", begin.elapsed());
    world.rest();
    let before = world.held();
    println!("at rest after {:.1?}", begin.elapsed());
    world.say("go");
    let start = Instant::now();
    world.storm(length());
    let took = start.elapsed();
    world.expect_progress(&[0, 1, 2]);
    world.rest();
    let after = world.held();
    println!("at rest again after {:.1?}", begin.elapsed());
    for ((pid, threads, holds), (_, threads_after, _)) in before.into_iter().zip(after) {
        holds.expect_again("who was only stopped", pid);
        assert_eq!(threads, threads_after, "threads of who was only stopped");
    }

    if loses_broker {
        world.lose_broker();
    } else {
        world.kill_all(|party| party.is_mortal);
        world.parties.iter().for_each(|party| party.expect_links(1));
        assert_eq!(plugins(&world.bus), (3, 1), "two that live and who looks");
    }
    world.kill_all(|_| true);
    println!(
        "{took:.1?}, {} killed, {} stops, broker killed: {loses_broker}; {:#?}",
        world.killed.len(),
        world.stops,
        world.told
    );
    if !loses_broker {
        broker_before.expect_again("the broker", broker);
        assert_eq!(plugins(&world.bus), (1, 0), "only who looks is on the bus");
    }
    let is_left = |pid: &u32| proc::is_our_child(*pid);
    let left: Vec<u32> = world.killed.into_iter().filter(is_left).collect();
    assert!(left.is_empty(), "processes that were killed: {left:?}");
}
