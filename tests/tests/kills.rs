//! Random parties are killed at random instants, again and again.
//!
//! A hundred kills by default; `CALLGATE_KILLS=1000` for the long run, `CALLGATE_SEED` to have a
//! run again (as far as chance was the test's own).
#![forbid(unsafe_code)]

use std::ops::Range;
use std::time::Instant;

use callgate_tests::random::Random;
use callgate_tests::{Bus, Process, proc, programs, stress};
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
}

impl Party {
    fn start(
        bus: &Bus,
        role: &'static str,
        name: &'static str,
        of: &'static [&'static str],
    ) -> Party {
        let process = Process::spawn(bus.peer_command(role, name, of));
        Party {
            role,
            name,
            of,
            process,
            is_ready: false,
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

    /// Kills it and starts it again under the same name, whether or not anybody has noticed.
    fn replace(&mut self, bus: &Bus) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
        *self = Party::start(bus, self.role, self.name, self.of);
    }

    fn counts(&mut self) -> Vec<(u64, u64)> {
        self.wait_ready();
        stress::counts(&mut self.process)
    }

    /// Waits until the threads `which` have been answered again; gives how many answers all
    /// have had.
    fn expect_progress(&mut self, which: Range<usize>) -> u64 {
        self.wait_ready();
        let counts = stress::expect_progress(&mut self.process, which);
        counts.into_iter().map(|(answered, _)| answered).sum()
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

/// What a process holds: descriptors and maps.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    descriptors: usize,
    shared: usize,
    maps: usize,
}

impl Holdings {
    fn of(pid: u32) -> Holdings {
        Holdings {
            descriptors: proc::descriptors(pid),
            shared: proc::shared_maps(pid),
            maps: proc::maps(pid).len(),
        }
    }

    /// Waits until a process holds no more than this again. The allocator may have mapped some
    /// heap meanwhile; what is leaked at every kill is far more than that.
    fn expect_again(self, who: &str, pid: u32) {
        proc::eventually(&format!("{who} holds what it did"), || {
            let now = Holdings::of(pid);
            let same = now.descriptors == self.descriptors && now.shared == self.shared;
            match same && now.maps <= self.maps + 8 {
                true => Ok(()),
                false => Err(format!(
                    "before {self:?}, now {now:?}: {:#?}",
                    proc::maps(pid)
                )),
            }
        });
    }
}

/// A plugin that was killed left its links' memory mapped in its peers, its descriptors in the
/// broker, a caller asleep for ever, or a name that nobody could take again; or the same caller
/// did not find the provider that was started anew.
#[test]
fn random_kills_hurt_nobody_else() {
    let mut random = Random::new("random kills");
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    // Whatever the broker allocates once, it has after the first plugin.
    bus.peer("idle", "first", &[]).kill();
    proc::eventually(
        "the first plugin is forgotten",
        || match proc::descriptors(broker) {
            0 => Err("the broker's descriptors cannot be counted".into()),
            _ if plugins(&bus) == 1 => Ok(()),
            _ => Err("it is still listed".into()),
        },
    );
    let broker_before = Holdings::of(broker);

    let mut callers = CALLERS.map(|name| Party::caller(&bus, name, &PROVIDERS));
    callers.iter_mut().for_each(Party::wait_ready);
    callers
        .iter()
        .for_each(|caller| caller.expect_shared_maps(OWN_PAGES));
    let caller_before = Holdings::of(callers[0].process.id());
    let mut providers = PROVIDERS.map(|name| Party::provider(&bus, name));
    let all = 0..2 * PROVIDERS.len();
    callers
        .iter_mut()
        .for_each(|caller| caller.expect_progress(all.clone()));

    let (start, total) = (Instant::now(), kills());
    let (mut by_role, mut pids) = ([0, 0], Vec::new());
    while by_role[0] + by_role[1] < total {
        random.pause(20);
        // Now and then two at once, and now and then one that has hardly begun.
        for _ in 0..1 + usize::from(random.below(4) == 0) {
            let party = match random.below(PROVIDERS.len() + CALLERS.len()) {
                at if at < PROVIDERS.len() => &mut providers[at],
                at => &mut callers[at - PROVIDERS.len()],
            };
            by_role[usize::from(party.role == "stress")] += 1;
            pids.push(party.process.id());
            party.replace(&bus);
            if random.below(4) == 0 {
                party.wait_ready();
            }
        }
        if random.below(10) == 0 {
            callers
                .iter_mut()
                .for_each(|caller| caller.expect_progress(all.clone()));
        }
    }
    callers
        .iter_mut()
        .for_each(|caller| caller.expect_progress(all.clone()));
    let answered: u64 = callers
        .iter_mut()
        .flat_map(Party::counts)
        .map(|(answered, _)| answered)
        .sum();
    let [of_providers, of_callers] = by_role;
    println!(
        "{of_providers} kills of providers and {of_callers} of callers in {:.1?}; \
         the last callers have {answered} right answers",
        start.elapsed()
    );

    // Callers that outlive all their providers keep nothing of them, and find the next ones.
    for provider in &mut providers {
        provider.process.signal(Signal::SIGKILL);
    }
    pids.extend(providers.iter().map(|provider| provider.process.id()));
    providers
        .into_iter()
        .for_each(|provider| provider.process.kill());
    callers
        .iter()
        .for_each(|caller| caller.expect_shared_maps(OWN_PAGES));
    caller_before.expect_again("a caller", callers[0].process.id());
    let providers = PROVIDERS.map(|name| Party::provider(&bus, name));
    callers
        .iter_mut()
        .for_each(|caller| caller.expect_progress(all.clone()));

    // And the other way round.
    let linked = OWN_PAGES + CALLERS.len() * LINK_MAPS;
    providers
        .iter()
        .for_each(|provider| provider.expect_shared_maps(linked));
    pids.extend(callers.iter().map(|caller| caller.process.id()));
    callers.into_iter().for_each(|caller| caller.process.kill());
    providers
        .iter()
        .for_each(|provider| provider.expect_shared_maps(OWN_PAGES));
    let mut last = Party::caller(&bus, "last", &PROVIDERS);
    last.expect_progress(all);
    pids.push(last.process.id());
    last.process.kill();
    pids.extend(providers.iter().map(|provider| provider.process.id()));
    providers
        .into_iter()
        .for_each(|provider| provider.process.kill());

    broker_before.expect_again("the broker", broker);
    assert_eq!(plugins(&bus), 1, "only who looks is on the bus");
    let left: Vec<u32> = pids
        .into_iter()
        .filter(|&pid| proc::is_our_child(pid))
        .collect();
    assert!(
        left.is_empty(),
        "processes that were killed are still there: {left:?}"
    );
}

fn plugins(bus: &Bus) -> usize {
    let listing = bus.plugin("onlooker").list().expect("a listing");
    listing["plugins"].as_array().map_or(0, Vec::len)
}

/// The broker was killed, and plugins that had long been linked stood still; or a caller that
/// was just being linked slept for ever on what nobody would send; or nobody was told of deaths
/// any more; or the next broker did not get the socket.
#[test]
fn links_outlive_a_broker_that_is_killed_at_any_instant() {
    let mut random = Random::new("kills of the broker");
    let mut bus = Bus::start(programs!());
    let start = Instant::now();
    let rounds = kills().div_ceil(20);
    for _ in 0..rounds {
        let [mut anvil, mut bellows] = ["anvil", "bellows"].map(|name| Party::provider(&bus, name));
        [&mut anvil, &mut bellows]
            .into_iter()
            .for_each(Party::wait_ready);
        let mut linked = Party::caller(&bus, CALLERS[0], &["anvil", "bellows"]);
        linked.expect_progress(0..4);
        // One more is on its way, at any point of it.
        let mut late = Party::caller(&bus, CALLERS[1], &["anvil", "bellows"]);
        random.pause(20);
        bus.kill_broker();
        linked.expect_progress(0..4);
        // Either it was too late altogether and said so, or its threads are told that there is
        // no way, or have one.
        if late.process.line(callgate_tests::PATIENCE).is_ok() {
            late.is_ready = true;
            let before = late.counts();
            proc::eventually("who came late does not hang", || {
                let now = late.counts();
                let moved = |at: &usize| now[*at] != before[*at];
                match (0..4).all(|at| moved(&at)) {
                    true => Ok(()),
                    false => Err(format!("{before:?}, {now:?}")),
                }
            });
        } else {
            assert!(!late.process.wait().success());
        }
        // Deaths are noticed as before.
        anvil.process.kill();
        let before = linked.counts();
        linked.expect_progress(2..4);
        proc::eventually("the death is noticed", || {
            let now = linked.counts();
            match (0..2).all(|at| now[at].1 > before[at].1 && now[at].0 >= before[at].0) {
                true => Ok(()),
                false => Err(format!("{before:?}, {now:?}")),
            }
        });
        linked.expect_shared_maps(OWN_PAGES + LINK_MAPS);
        late.process.kill();
        bellows.wait_ready();
        bellows.expect_shared_maps(OWN_PAGES + LINK_MAPS);
        linked.process.kill();
        bellows.expect_shared_maps(OWN_PAGES);
        bellows.process.kill();
        bus.start_broker();
    }
    println!("{rounds} brokers killed in {:.1?}", start.elapsed());
}
