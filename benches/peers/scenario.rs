//! What is measured: which payload, how often, and where the two processes run.

mod events;
mod shares;

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use events::Events;
pub(crate) use shares::Shares;

/// One caller alone; the system that four are compared with.
pub(crate) const ONE_CALLER: &str = "callgate-one-caller";

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Calls of 64 bytes, back to back, each side awake on a core of its own.
    SmallHot,
    /// The same with 1 MiB of arguments.
    LargeHot,
    /// Calls of 64 bytes, back to back, both sides on one core.
    OneCore,
    /// Calls of 64 bytes with a pause before each; the sides on a core each.
    Cold,
    /// The same, placed by the scheduler.
    Unpinned,
    /// From nothing to the first answer.
    Connect,
    /// Calls that give a vector and get it back, as values, back to back.
    Typed(Values),
    /// Calls that give a record of so many bytes and get it back, between sides whose types differ.
    Json(usize),
    /// Four processes that call one, hot.
    FourCallers,
    /// Calls between two plugins of one process.
    InProcess,
    /// No calls, but events.
    Events(Events),
    /// Shares.
    Shares(Shares),
    /// Calls of 64 bytes to a child on pipes, so many of them open at once.
    Stdio(usize),
}

/// A vector that is passed to and fro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) name: &'static str,
    pub(crate) element: Element,
    /// Bytes of it.
    pub(crate) len: usize,
    /// How many times as fast as a Unix socket this is to be.
    pub(crate) wanted: &'static str,
}

/// What a vector consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Byte,
    Float,
}

impl Values {
    const fn new(name: &'static str, element: Element, len: usize) -> Values {
        Values {
            name,
            element,
            len,
            wanted: if len > 1 << 20 {
                "at least 1"
            } else {
                "at least 1.5"
            },
        }
    }
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 32] = [
        Scenario::SmallHot,
        Scenario::LargeHot,
        Scenario::OneCore,
        Scenario::Cold,
        Scenario::Unpinned,
        Scenario::Connect,
        Scenario::Typed(Values::new("call/64KiB/bytes", Element::Byte, 64 << 10)),
        Scenario::Typed(Values::new("call/64KiB/floats", Element::Float, 64 << 10)),
        Scenario::Typed(Values::new("call/1MiB/bytes", Element::Byte, 1 << 20)),
        Scenario::Typed(Values::new("call/1MiB/floats", Element::Float, 1 << 20)),
        Scenario::Typed(Values::new("call/16MiB/bytes", Element::Byte, 16 << 20)),
        Scenario::Json(64),
        Scenario::Json(64 << 10),
        Scenario::Json(1 << 20),
        Scenario::FourCallers,
        Scenario::InProcess,
        Scenario::Events(Events::Stream),
        Scenario::Events(Events::Batch),
        Scenario::Events(Events::Awake(1)),
        Scenario::Events(Events::Awake(10)),
        Scenario::Events(Events::Awake(100)),
        Scenario::Events(Events::Asleep(1)),
        Scenario::Events(Events::Asleep(10)),
        Scenario::Events(Events::Asleep(100)),
        Scenario::Events(Events::Wake),
        Scenario::Events(Events::Slow),
        Scenario::Shares(Shares::Get),
        Scenario::Shares(Shares::FirstGet),
        Scenario::Shares(Shares::Publish(4 << 10)),
        Scenario::Shares(Shares::Publish(shares::LARGE)),
        Scenario::Stdio(1),
        Scenario::Stdio(64),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::SmallHot => "call/64B/hot/two-cores",
            Scenario::LargeHot => "call/1MiB/hot/two-cores",
            Scenario::OneCore => "call/64B/hot/one-core",
            Scenario::Cold => "call/64B/cold/two-cores",
            Scenario::Unpinned => "call/64B/cold/unpinned",
            Scenario::Connect => "connect/first-call",
            Scenario::Typed(values) => values.name,
            Scenario::Json(64) => "call/json/64B",
            Scenario::Json(len) if len < 1 << 20 => "call/json/64KiB",
            Scenario::Json(_) => "call/json/1MiB",
            Scenario::FourCallers => "call/callers-4",
            Scenario::InProcess => "call/in-process",
            Scenario::Events(events) => events.name(),
            Scenario::Shares(shares) => shares.name(),
            Scenario::Stdio(1) => "call/stdio",
            Scenario::Stdio(_) => "call/stdio/in-flight-64",
        }
    }

    /// The core of the caller and that of the callee, where they are pinned.
    pub(crate) fn cores(self) -> Option<(usize, usize)> {
        match self {
            Scenario::SmallHot
            | Scenario::LargeHot
            | Scenario::Cold
            | Scenario::Typed(_)
            | Scenario::Json(_)
            | Scenario::Events(_) => Some((0, 1)),
            Scenario::Shares(shares) => shares.is_pair().then_some((0, 1)),
            Scenario::OneCore => Some((0, 0)),
            _ => None,
        }
    }

    /// Where the parties run, in words.
    pub(crate) fn placement(self) -> &'static str {
        match self {
            Scenario::SmallHot
            | Scenario::LargeHot
            | Scenario::Cold
            | Scenario::Typed(_)
            | Scenario::Json(_) => "caller on core 0, callee on core 1",
            Scenario::OneCore => "both on core 0",
            Scenario::Unpinned | Scenario::Connect => "not pinned",
            Scenario::FourCallers => "a provider and each caller a process, not pinned",
            Scenario::InProcess => "one thread, not pinned",
            Scenario::Events(events) => events.placement(),
            Scenario::Shares(shares) => shares.placement(),
            Scenario::Stdio(_) => "not pinned; the child is a process",
        }
    }

    /// Whether it is calls between a pair of processes, of any system. The others are arrangements of their own.
    pub(crate) fn is_pair(self) -> bool {
        match self {
            Scenario::FourCallers
            | Scenario::InProcess
            | Scenario::Events(_)
            | Scenario::Stdio(_) => false,
            Scenario::Shares(shares) => shares.is_pair(),
            _ => true,
        }
    }

    /// The system that the others are compared with.
    pub(crate) fn reference(self) -> &'static str {
        match self {
            Scenario::FourCallers => ONE_CALLER,
            Scenario::Typed(_) => "uds",
            Scenario::Json(_) => "callgate-exact",
            _ => "limit",
        }
    }

    /// Whether whoever connects finds itself on its one core already, as on a machine with one.
    /// Otherwise the threads that call and serve are pinned when everything stands: a process
    /// pinned from its start would count one CPU and could not know that its peer has another.
    pub(crate) fn is_pinned_from_start(self) -> bool {
        self == Scenario::OneCore
    }

    /// Whether both sides can be awake all the time: then the limit spins, else it sleeps.
    pub(crate) fn is_awake(self) -> bool {
        matches!(self, Scenario::SmallHot | Scenario::LargeHot)
    }

    /// What a limit that looks all the time takes where nothing is disturbed, in nanoseconds: rounds in which it takes
    /// something else count for differences and not for ratios. Events take more on two cores than on two threads of one, and so
    /// show where the host had both processors share a core.
    pub(crate) fn limit_ns(self) -> Option<RangeInclusive<f64>> {
        match self {
            Scenario::Events(Events::Stream) => Some(15.0..=130.0),
            Scenario::Events(Events::Batch) => Some(5.0..=130.0),
            _ => self.is_awake().then_some(0.0..=130.0),
        }
    }

    /// Whether calls follow each other at once, so that many are timed together.
    pub(crate) fn is_hot(self) -> bool {
        self.is_awake()
            || matches!(
                self,
                Scenario::OneCore | Scenario::Typed(_) | Scenario::Json(_)
            )
    }

    /// The vector that is passed to and fro, where one is.
    pub(crate) fn values(self) -> Option<Values> {
        match self {
            Scenario::Typed(values) => Some(values),
            _ => None,
        }
    }

    /// Whether values are passed to and fro, and not a payload that each system has.
    pub(crate) fn passes_values(self) -> bool {
        self.values().is_some() || self.json().is_some()
    }

    /// The bytes of the record that is passed to and fro, where one is.
    pub(crate) fn json(self) -> Option<usize> {
        match self {
            Scenario::Json(len) => Some(len),
            _ => None,
        }
    }

    /// What is done with shares, where they are measured.
    pub(crate) fn shares(self) -> Option<Shares> {
        match self {
            Scenario::Shares(shares) => Some(shares),
            _ => None,
        }
    }

    /// The bytes of a share, where they are measured.
    pub(crate) fn shares_len(self) -> usize {
        self.shares().map_or(0, Shares::len)
    }

    /// How long the caller sleeps before each call.
    pub(crate) fn pause(self) -> Duration {
        match self {
            Scenario::Cold | Scenario::Unpinned => Duration::from_millis(1),
            _ => Duration::ZERO,
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Scenario::ALL.iter().map(|one| one.name()).collect();
            format!("there is no such scenario; there are {}", names.join(", "))
        })
    }
}
