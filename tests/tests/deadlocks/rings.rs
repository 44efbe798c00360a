//! Plugins in every mode and place, and rings of some of them, in which each plugin calls the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use callgate_client::{Dispatch, Group, Plugin, Provider, Subscriber};
use callgate_tests::crossing::{self, Crossed, Meeting, NARROW};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, Process, programs};

/// How a member runs its handlers, and in which place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) mode: &'static str,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a process of its own.
    There,
    /// In the test's process, called through shared memory.
    Here,
    /// In the test's process, called directly.
    Direct,
}

pub(crate) const MODES: [&str; 4] = ["thread", "pool", "pump", "group"];
const PLACES: [Place; 3] = [Place::There, Place::Here, Place::Direct];
/// How many members there are of each kind: as many as the longest ring has.
const EACH: usize = 5;

impl Kind {
    /// The kinds of all members: each mode in every place.
    pub(crate) fn all() -> Vec<Kind> {
        let each = MODES.iter().flat_map(|mode| {
            let place = |n| match (*mode, PLACES[n % PLACES.len()]) {
                // Handlers of a pool that is called directly keep nothing from others: visitors hold neither turns
                // nor threads.
                ("pool", Place::Direct) => Place::Here,
                (_, place) => place,
            };
            (0..EACH).map(move |n| Kind {
                mode,
                place: place(n),
            })
        });
        each.collect()
    }
}

/// A member in the test's process.
struct Here {
    _gates: Vec<Provider>,
    _group: Option<Group>,
    meeting: Arc<Meeting>,
    is_over: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
    _plugin: Arc<Plugin>,
}

enum Runs {
    Here(Here),
    There(Process),
}

impl Runs {
    fn new(bus: &Bus, name: &str, kind: Kind) -> Runs {
        match kind.place {
            Place::There => Runs::There(bus.peer("crossing", name, &[kind.mode])),
            Place::Here | Place::Direct => Runs::Here(Here::new(bus, name, kind)),
        }
    }

    /// Waits until so many of its handlers have come to the meeting.
    fn await_coming(&mut self, count: u64) {
        match self {
            Runs::Here(here) => here.meeting.await_coming(count),
            Runs::There(process) => assert_eq!(process.ask(&count.to_string()), "done"),
        }
    }

    /// Releases them.
    fn go(&mut self) {
        match self {
            Runs::Here(here) => here.meeting.go(),
            Runs::There(process) => assert_eq!(process.ask("go"), "done"),
        }
    }
}

impl Here {
    fn new(bus: &Bus, name: &str, kind: Kind) -> Here {
        let builder = bus.builder(name).direct_calls(kind.place == Place::Direct);
        let (plugin, group) = crossing::connect(builder, kind.mode).unwrap();
        let (plugin, meeting) = (Arc::new(plugin), Arc::<Meeting>::default());
        let gates = crossing::provide(&plugin, name, &meeting).unwrap();
        let is_over = Arc::<AtomicBool>::default();
        let pump = (crossing::dispatch(kind.mode) == Dispatch::Pump).then(|| {
            let (own, over) = (plugin.clone(), is_over.clone());
            thread::spawn(move || crossing::pump(&own, &over).unwrap())
        });
        Here {
            _gates: gates,
            _group: group,
            meeting,
            is_over,
            pump,
            _plugin: plugin,
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(pump) = self.pump.take() {
            // If it panics, the test fails in any case.
            let _ = pump.join();
        }
    }
}

struct Member {
    kind: Kind,
    runs: Runs,
    cross: Subscriber<(u64,), Crossed>,
    narrow: Subscriber<(u64,), Crossed>,
    attempt: Subscriber<(u64,), bool>,
}

/// Plugins that can be put into rings, by their numbers.
pub(crate) struct Stage {
    members: Vec<Member>,
    /// Which member has called which.
    tried: BTreeSet<(usize, usize)>,
    _caller: Plugin,
    _bus: Bus,
}

impl Stage {
    pub(crate) fn new(kinds: &[Kind]) -> Stage {
        let bus = Bus::start(programs!());
        let caller = bus.builder("T").direct_calls(true).connect().unwrap();
        let member = |(n, kind): (usize, &Kind)| {
            let name = crossing::name(n as u64);
            Member {
                kind: *kind,
                runs: Runs::new(&bus, &name, *kind),
                cross: open(&caller, &format!("{name}.Cross")),
                narrow: open(&caller, &format!("{name}.{NARROW}")),
                attempt: open(&caller, &format!("{name}.Try")),
            }
        };
        Stage {
            members: kinds.iter().enumerate().map(member).collect(),
            tried: BTreeSet::new(),
            _caller: caller,
            _bus: bus,
        }
    }

    pub(crate) fn kind(&self, n: usize) -> Kind {
        self.members[n].kind
    }

    /// Lets as many handlers of a ring's members meet as can run at a time, and then each call the next plugin.
    /// Returns the outcomes of the calls, and how long each took from the meeting on.
    pub(crate) fn cross(&mut self, ring: &[usize]) -> Vec<Crossed> {
        let next = |at: usize| ring[(at + 1) % ring.len()];
        for (at, n) in ring.iter().enumerate() {
            if self.tried.insert((*n, next(at))) {
                let attempt = &self.members[*n].attempt;
                let try_it = || attempt.invoke((next(at) as u64,)).unwrap();
                await_that("it can call the next one", try_it);
            }
        }
        self.meet(ring, |member| {
            (&member.cross, crossing::at_a_time(member.kind.mode))
        })
    }

    /// The same with gates that have one call at a time each, however many threads their plugins have.
    pub(crate) fn cross_narrowly(&mut self, ring: &[usize]) -> Vec<Crossed> {
        self.meet(ring, |member| (&member.narrow, 1))
    }

    /// Lets so many handlers of that gate of each member meet.
    fn meet(
        &mut self,
        ring: &[usize],
        gate: impl Fn(&Member) -> (&Subscriber<(u64,), Crossed>, u64),
    ) -> Vec<Crossed> {
        let next = |at: usize| ring[(at + 1) % ring.len()] as u64;
        thread::scope(|scope| {
            let mut calls = Vec::new();
            for (at, n) in ring.iter().enumerate() {
                let (gate, count) = gate(&self.members[*n]);
                for _ in 0..count {
                    let (gate, next) = (gate.clone(), next(at));
                    calls.push(scope.spawn(move || gate.invoke((next,)).unwrap()));
                }
            }
            for n in ring {
                let (_, count) = gate(&self.members[*n]);
                self.members[*n].runs.await_coming(count);
            }
            ring.iter().for_each(|n| self.members[*n].runs.go());
            let outcomes = calls.into_iter().map(|call| call.join().unwrap());
            outcomes.collect()
        })
    }
}
