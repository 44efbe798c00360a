//! Events: one sender, any number of listeners, each a process. The sender is this process.
//!
//! Each event has 64 bytes: its number, and further numbers that follow from it. Each listener checks that numbers follow and
//! that the words of each event have the right sum; it says how many came, how many were lost, and the sum of all.
//!
//! - `notify/stream`, `notify/batch-64`: from the first event's sending until the listener has handled the last, by their
//!   number. Nothing may be lost: a sender that is ahead waits.
//! - `notify/N`: the CPU that the *sender's process* uses for an event, while it sends as many as any of these systems keeps
//!   without waiting. Listeners look all the time, so nobody is woken.
//! - `notify/N/asleep`: the same for one event whose listeners are all asleep; what it takes beyond `notify/N` are wake-ups.
//! - `notify/wake`: until the sleeping listener's handler runs.
//! - `notify/slow`: what sending takes where a listener cannot follow and the oldest events are dropped.
//!
//! In all of them CPU is the sender's process alone, and `sleeps` is how often listeners went to sleep, all together, an event.

mod block;
mod callgate;
mod iceoryx2;
mod limit;
mod looking;
mod tally;
mod uds;
mod zbus;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;
use crate::block::Effort;
use crate::child::obey;
use crate::outcome::Outcome;
use crate::place;
use crate::scenario::{Events, Scenario};
use crate::systems::Setup;

use looking::Looking;
use tally::Tally;

/// A way to send events to other processes.
trait Bus: Sync {
    /// Its name in the report. Variants of one system bear the same: the fastest of them counts in each round.
    fn name(&self) -> &'static str;

    /// What tells it from all others.
    fn id(&self) -> &'static str {
        self.name()
    }

    fn takes_part(&self, events: Events) -> bool;

    /// What must live in the sender's process before the listeners are started.
    fn host(&self, _setup: &Setup, _events: Events) -> Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }

    /// A listener's end; made in its process.
    fn listener(
        &self,
        setup: &Setup,
        events: Events,
        nth: usize,
        tally: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>>;

    /// The sender's end; made when all listeners stand.
    fn sender(&self, setup: &Setup, events: Events, host: &mut dyn Any) -> Result<Box<dyn Sender>>;
}

trait Listener {
    /// Shows the tally, which is that of its making, each event until it says that this was the last.
    fn listen(&mut self, tally: &Tally) -> Result<()>;
}

trait Sender {
    /// Sends the events of these numbers, each by itself.
    fn send(&mut self, numbers: Range<u64>) -> Result<()>;

    /// Sends them 64 at a time, where the system has a way to.
    fn send_batches(&mut self, numbers: Range<u64>) -> Result<()> {
        self.send(numbers)
    }
}

/// This many listeners take a while to start.
const MANY: usize = 100;
/// How many events are sent at once, where it is so many at a time.
const BATCH: usize = 64;

fn all() -> &'static [&'static dyn Bus] {
    &[
        &limit::Limit::ALL[0],
        &limit::Limit::ALL[1],
        &limit::Limit::ALL[2],
        &limit::Limit::ALL[3],
        &callgate::Callgate::ALL[0],
        &callgate::Callgate::ALL[1],
        &callgate::Callgate::ALL[2],
        &callgate::Callgate::ALL[3],
        &callgate::Callgate::ALL[4],
        &callgate::Callgate::ALL[5],
        &iceoryx2::Iceoryx2::POLLED,
        &iceoryx2::Iceoryx2::WOKEN,
        &uds::Uds,
        &zbus::Zbus,
    ]
}

/// The names of the systems, in the order of the report.
pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|bus| bus.name()).collect()
}

/// Is a listener's process.
pub(crate) fn listen(id: &str, setup: &Setup, events: Events, nth: usize) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let bus = all().iter().find(|bus| bus.id() == id);
    let bus = bus.ok_or("no such system")?;
    let tally = Arc::new(Tally::new(events));
    let mut listener = bus.listener(setup, events, nth, &tally)?;
    place::pin_process(1)?;
    obey(|| {
        tally.begin()?;
        listener.listen(&tally)?;
        Ok(tally.line())
    })
}

/// Measures a scenario; nothing where none of the systems takes part.
pub(crate) fn measure(
    scenario: Scenario,
    events: Events,
    wanted: &[String],
    effort: Effort,
    random: &mut StdRng,
) -> Result<Option<Outcome>> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let systems = all().iter().copied();
    let systems: Vec<&dyn Bus> = systems
        .filter(|bus| bus.takes_part(events) && (bus.name() == "limit" || is_wanted(bus.name())))
        .collect();
    if !systems.iter().any(|bus| is_wanted(bus.name())) {
        return Ok(None);
    }
    let cores = place::cores()?;
    let mut outcome = Outcome::new(scenario);
    let mut counts = vec![None; systems.len()];
    let mut order: Vec<usize> = (0..systems.len()).collect();
    let blocks = match events.listeners() {
        many if many >= MANY => effort.blocks_of_many(),
        _ => effort.blocks,
    };
    for round in 0..blocks {
        order.shuffle(random);
        for &at in &order {
            let bus = systems[at];
            let block = block::measure(bus, scenario, events, &mut counts[at], effort);
            place::unpin_thread(&cores)?;
            let block = block.map_err(|error| format!("{}: {error}", bus.id()))?;
            outcome.add(round, bus.name(), block);
        }
    }
    Ok(Some(outcome))
}
