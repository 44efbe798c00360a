//! A ring of plugins, each in a mode and a process of its own choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, Group, Plugin, Provider, Subscriber};
use callgate_tests::crossing::{self, Crossed, Meeting};
use callgate_tests::random::Random;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, Process, programs};

/// Where a member runs its handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) mode: &'static str,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a process of its own.
    There,
    /// In the test's process, called through memory.
    Here,
    /// There, too, called directly.
    Direct,
}

pub(crate) const MODES: [&str; 4] = ["thread", "pool", "pump", "group"];
pub(crate) const PLACES: [Place; 3] = [Place::There, Place::Here, Place::Direct];

impl Kind {
    /// One of those that can stand still.
    pub(crate) fn any(random: &mut Random) -> Kind {
        let kind = Kind {
            mode: MODES[random.below(MODES.len())],
            place: PLACES[random.below(PLACES.len())],
        };
        match kind.never_stands_still() {
            true => Kind::any(random),
            false => kind,
        }
    }

    /// Whether its handlers keep nothing from others: visitors of a pool have neither turns nor threads of it.
    pub(crate) fn never_stands_still(self) -> bool {
        self.place == Place::Direct && self.mode == "pool"
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

enum Member {
    Here(Here),
    There(Process),
}

/// Plugins each of which calls the next.
pub(crate) struct Ring {
    kinds: Vec<Kind>,
    members: Vec<Member>,
    cross: Vec<Subscriber<(), Crossed>>,
    _caller: Plugin,
    _bus: Bus,
}

impl Ring {
    pub(crate) fn new(kinds: &[Kind]) -> Ring {
        let bus = Bus::start(programs!());
        let name = |n: usize| format!("P{}", n % kinds.len());
        let members: Vec<Member> = kinds
            .iter()
            .enumerate()
            .map(|(n, kind)| member(&bus, *kind, (&name(n), &name(n + 1))))
            .collect();
        let caller = bus.builder("T").direct_calls(true).connect().unwrap();
        for n in 0..kinds.len() {
            let attempt = open::<(), bool>(&caller, &format!("{}.Try", name(n)));
            await_that("it can call the next one", || attempt.invoke(()).unwrap());
        }
        let cross = |n| open(&caller, &format!("{}.Cross", name(n)));
        Ring {
            kinds: kinds.to_vec(),
            members,
            cross: (0..kinds.len()).map(cross).collect(),
            _caller: caller,
            _bus: bus,
        }
    }

    /// Has all handlers meet that can run at a time, and then call on. What became of the calls, and how long
    /// it took from their meeting until each was over.
    pub(crate) fn cross(&mut self) -> Vec<Crossed> {
        let Ring {
            kinds,
            members,
            cross,
            ..
        } = self;
        thread::scope(|scope| {
            let mut calls = Vec::new();
            for (kind, cross) in kinds.iter().zip(cross) {
                for _ in 0..crossing::at_a_time(kind.mode) {
                    calls.push(scope.spawn(|| cross.invoke(()).unwrap()));
                }
            }
            for (kind, member) in kinds.iter().zip(&mut *members) {
                let count = crossing::at_a_time(kind.mode);
                match member {
                    Member::Here(here) => here.meeting.await_coming(count),
                    Member::There(process) => {
                        assert_eq!(process.ask(&count.to_string()), "done");
                    }
                }
            }
            for member in members {
                match member {
                    Member::Here(here) => here.meeting.go(),
                    Member::There(process) => assert_eq!(process.ask("go"), "done"),
                }
            }
            let outcomes = calls.into_iter().map(|call| call.join().unwrap());
            outcomes.collect()
        })
    }
}

fn member(bus: &Bus, kind: Kind, (name, next): (&str, &str)) -> Member {
    if kind.place == Place::There {
        return Member::There(bus.peer("crossing", name, &[kind.mode, next]));
    }
    let builder = bus.builder(name).direct_calls(kind.place == Place::Direct);
    let (plugin, group) = crossing::connect(builder, kind.mode).unwrap();
    let (plugin, meeting) = (Arc::new(plugin), Arc::<Meeting>::default());
    let gates = crossing::provide(&plugin, (name, next), &meeting).unwrap();
    let is_over = Arc::<AtomicBool>::default();
    let pump = (crossing::dispatch(kind.mode) == Dispatch::Pump).then(|| {
        let (own, over) = (plugin.clone(), is_over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                own.pump(Instant::now() + Duration::from_millis(20))
                    .unwrap();
            }
        })
    });
    Member::Here(Here {
        _gates: gates,
        _group: group,
        meeting,
        is_over,
        pump,
        _plugin: plugin,
    })
}

impl Drop for Here {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(pump) = self.pump.take() {
            // A panic of its own fails the test anyway.
            let _ = pump.join();
        }
    }
}
