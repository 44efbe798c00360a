//! Random processes are killed at random instants, again and again.
//!
//! A hundred kills by default; `CALLGATE_KILLS=1000` for a long run. `CALLGATE_SEED` repeats a run, as far as the
//! test's own choices decide it.
#![forbid(unsafe_code)]

use std::fs::{File, read_to_string};
use std::ops::Range;
use std::process::Command;
use std::time::Instant;

use callgate_tests::proc::Holdings;
use callgate_tests::random::Random;
use callgate_tests::{Bus, ENDS_WITH_BROKER, PATIENCE, Process, proc, programs, stress};
use nix::sys::signal::Signal;

const PROVIDERS: [&str; 3] = ["anvil", "bellows", "chisel"];
const CALLERS: [&str; 4] = ["west", "east", "north", "south"];
/// Doorbell and status page, which every plugin has.
const OWN_PAGES: usize = 2;
/// Both outboxes, the peer's status page and its doorbell.
const LINK_MAPS: usize = 4;

fn kills() -> usize {
    let given = std::env::var("CALLGATE_KILLS").ok();
    given.and_then(|kills| kills.parse().ok()).unwrap_or(100)
}

/// A plugin that is killed and started again.
struct Party {
    role: &'static str,
    name: &'static str,
    of: &'static [&'static str],
    process: Process,
    is_ready: bool,
    /// How many right answers it has reported so far.
    answered: u64,
}

impl Party {
    fn start(
        bus: &Bus,
        role: &'static str,
        name: &'static str,
        of: &'static [&'static str],
    ) -> Party {
        Party::spawn(bus.peer_command(role, name, of), (role, name, of))
    }

    /// As [`Party::start`], with a plugin that waits for no other broker.
    fn mortal(
        bus: &Bus,
        role: &'static str,
        name: &'static str,
        of: &'static [&'static str],
    ) -> Party {
        let mut command = bus.peer_command(role, name, of);
        command.env(ENDS_WITH_BROKER, "yes");
        Party::spawn(command, (role, name, of))
    }

    fn spawn(
        command: Command,
        (role, name, of): (&'static str, &'static str, &'static [&'static str]),
    ) -> Party {
        let process = Process::spawn(command);
        Party {
            role,
            name,
            of,
            process,
            is_ready: false,
            answered: 0,
        }
    }

    fn provider(bus: &Bus, name: &'static str) -> Party {
        Party::start(bus, "provider", name, &[])
    }

    fn caller(bus: &Bus, name: &'static str, of: &'static [&'static str]) -> Party {
        Party::start(bus, "stress", name, of)
    }

    fn wait_ready(&mut self) {
        if !self.is_ready {
            assert_eq!(self.process.expect_line(), "ready", "{}", self.name);
            self.is_ready = true;
        }
    }

    /// Kills it and starts it again under the same name, whether or not anybody has noticed the end.
    fn replace(&mut self, bus: &Bus) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
        *self = Party::start(bus, self.role, self.name, self.of);
    }

    fn counts(&mut self) -> Vec<(u64, u64)> {
        self.wait_ready();
        stress::counts(&mut self.process)
    }

    /// Waits until the threads `which` have been answered again. Returns the number of answers since the last time.
    fn expect_progress(&mut self, which: Range<usize>) -> u64 {
        self.wait_ready();
        let counts = stress::expect_progress(&mut self.process, which);
        let answered = counts.into_iter().map(|(answered, _)| answered).sum();
        answered - std::mem::replace(&mut self.answered, answered)
    }

    fn expect_shared_maps(&self, expected: usize) {
        proc::eventually(&format!("{} has {expected} shared maps", self.name), || {
            match proc::shared_maps(self.process.id()) {
                found if found == expected => Ok(()),
                found => Err(format!("{found}: {:#?}", proc::maps(self.process.id()))),
            }
        });
    }
}

/// A bus whose plugins are killed and started again.
struct World {
    bus: Bus,
    providers: Vec<Party>,
    callers: Vec<Party>,
    /// How many right answers the callers have reported so far.
    answered: u64,
    /// The process numbers of all that were killed.
    killed: Vec<u32>,
}

impl World {
    fn new(bus: Bus) -> World {
        let start = |name: &&'static str| Party::caller(&bus, name, &PROVIDERS);
        let callers = CALLERS.iter().map(start).collect();
        World {
            bus,
            providers: Vec::new(),
            callers,
            answered: 0,
            killed: Vec::new(),
        }
    }

    fn start_providers(&mut self) {
        let start = |name: &&'static str| Party::provider(&self.bus, name);
        self.providers = PROVIDERS.iter().map(start).collect();
    }

    /// Waits until every thread of every caller is answered again, by every provider.
    fn expect_progress(&mut self) {
        for caller in &mut self.callers {
            self.answered += caller.expect_progress(0..2 * PROVIDERS.len());
        }
    }

    /// Kills one party and starts it again; returns whether it was a caller.
    fn replace_one(&mut self, random: &mut Random) -> bool {
        let at = random.below(PROVIDERS.len() + CALLERS.len());
        let party = self.providers.iter_mut().chain(&mut self.callers).nth(at);
        let party = party.expect("there are so many");
        self.killed.push(party.process.id());
        party.replace(&self.bus);
        // Otherwise it may be killed again before it has really begun.
        if random.below(4) == 0 {
            party.wait_ready();
        }
        party.role == "stress"
    }

    /// Kills all of these at once, for good.
    fn kill(&mut self, parties: Vec<Party>) {
        for party in &parties {
            party.process.signal(Signal::SIGKILL);
            self.killed.push(party.process.id());
        }
        parties.into_iter().for_each(|party| party.process.kill());
    }

    fn kill_providers(&mut self) {
        let providers = std::mem::take(&mut self.providers);
        self.kill(providers);
    }

    fn kill_callers(&mut self) {
        let callers = std::mem::take(&mut self.callers);
        self.kill(callers);
    }
}

fn expect_shared_maps(parties: &[Party], expected: usize) {
    for party in parties {
        party.expect_shared_maps(expected);
    }
}

/// A killed plugin leaves nothing behind: no memory of its links in its peers, no descriptors in the broker, no
/// caller that sleeps for ever, no name that stays taken. The same caller finds the provider that is started again.
#[test]
fn random_kills_hurt_nobody_else() {
    let mut random = Random::new("random kills");
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    // The broker makes its one-time allocations for the first plugin.
    bus.peer("idle", "first", &[]).kill();
    proc::eventually("the first is forgotten", || match plugins(&bus) {
        1 => Ok(()),
        listed => Err(format!("{listed} are listed")),
    });
    let broker_before = Holdings::at_rest(broker);
    let can_count = broker_before.descriptors > 3;
    assert!(can_count, "the broker's descriptors cannot be counted");

    let mut world = World::new(bus);
    world.callers.iter_mut().for_each(Party::wait_ready);
    expect_shared_maps(&world.callers, OWN_PAGES);
    let caller_before = Holdings::at_rest(world.callers[0].process.id());
    world.start_providers();
    world.expect_progress();

    let (start, total, mut of_callers) = (Instant::now(), kills(), 0);
    while world.killed.len() < total {
        random.pause(20);
        // Sometimes two at once.
        for _ in 0..1 + random.below(4) / 3 {
            of_callers += usize::from(world.replace_one(&mut random));
        }
        if random.below(10) == 0 {
            world.expect_progress();
        }
    }
    world.expect_progress();
    println!(
        "{} kills, {of_callers} of them of callers, and {} right answers in {:.1?}",
        world.killed.len(),
        world.answered,
        start.elapsed()
    );

    // Callers that outlive all their providers keep nothing of them, and find the next ones.
    world.kill_providers();
    expect_shared_maps(&world.callers, OWN_PAGES);
    caller_before.expect_again("a caller", world.callers[0].process.id());
    world.start_providers();
    world.expect_progress();
    // And the other way round.
    let linked = OWN_PAGES + CALLERS.len() * LINK_MAPS;
    expect_shared_maps(&world.providers, linked);
    world.kill_callers();
    expect_shared_maps(&world.providers, OWN_PAGES);
    world.callers = vec![Party::caller(&world.bus, "last", &PROVIDERS)];
    world.expect_progress();
    world.kill_callers();
    world.kill_providers();

    broker_before.expect_again("the broker", broker);
    assert_eq!(plugins(&world.bus), 1, "only who looks is on the bus");
    let is_left = |pid: &u32| proc::is_our_child(*pid);
    let left: Vec<u32> = world.killed.into_iter().filter(is_left).collect();
    assert!(left.is_empty(), "processes that were killed: {left:?}");
}

fn plugins(bus: &Bus) -> usize {
    let listing = bus.plugin("onlooker").list().expect("a listing");
    listing["plugins"].as_array().map_or(0, Vec::len)
}

/// When the broker is killed, plugins that are linked go on. A caller that is being linked does not sleep for ever on
/// a record that nobody will send, deaths are still noticed, and the next broker gets the socket.
#[test]
fn links_outlive_a_broker_that_is_killed_at_any_instant() {
    let mut random = Random::new("kills of the broker");
    let mut bus = Bus::start(programs!());
    let (start, mut too_late) = (Instant::now(), 0);
    let rounds = kills().div_ceil(20);
    for _ in 0..rounds {
        let start = |name| Party::mortal(&bus, "provider", name, &[]);
        let [mut anvil, mut bellows] = ["anvil", "bellows"].map(start);
        anvil.wait_ready();
        bellows.wait_ready();
        let mut linked = Party::mortal(&bus, "stress", "west", &["anvil", "bellows"]);
        linked.expect_progress(0..4);
        // One more plugin is just connecting, at any point of that.
        let log = bus.directory().join("late.log");
        let mut command = bus.peer_command("stress", "east", &["anvil", "bellows"]);
        command.env(ENDS_WITH_BROKER, "yes");
        command.stderr(File::create(&log).expect("a log"));
        let mut late = Process::spawn(command);
        random.pause(40);
        bus.kill_broker();
        linked.expect_progress(0..4);
        // Either its threads are answered or are told that there is no way, or it came too late and said so.
        if late.line(PATIENCE).is_ok() {
            let before = stress::counts(&mut late);
            proc::eventually("who came late does not hang", || {
                let now = stress::counts(&mut late);
                match (0..4).all(|at| now[at] != before[at]) {
                    true => Ok(()),
                    false => Err(format!("{before:?}, {now:?}")),
                }
            });
            let maps = proc::shared_maps(late.id()) - OWN_PAGES;
            assert!(maps.is_multiple_of(LINK_MAPS), "half a link: {maps} maps");
        } else {
            assert!(!late.wait().success());
            let log = read_to_string(log).expect("its log");
            assert!(log.contains("BrokerGone"), "{log}");
            too_late += 1;
        }
        // Deaths are noticed as before.
        anvil.process.kill();
        let before = linked.counts();
        linked.expect_progress(2..4);
        proc::eventually("the death is noticed", || {
            let now = linked.counts();
            match (0..2).all(|at| now[at].1 > before[at].1) {
                true => Ok(()),
                false => Err(format!("{before:?}, {now:?}")),
            }
        });
        linked.expect_shared_maps(OWN_PAGES + LINK_MAPS);
        late.kill();
        bellows.expect_shared_maps(OWN_PAGES + LINK_MAPS);
        linked.process.kill();
        bellows.expect_shared_maps(OWN_PAGES);
        bellows.process.kill();
        bus.start_broker();
    }
    let took = start.elapsed();
    println!("{rounds} brokers killed in {took:.1?}; {too_late} callers came too late");
}
