//! What the broker is told about a wait that lasts: what this thread waits for, and what it keeps from others
//! meanwhile.

use callgate_layout::control::{Held, Needs};
use callgate_layout::envelope::Chain;
use callgate_layout::pending::Ticket;

use super::target::Origin;
use crate::base::chain;
use crate::link::Link;
use crate::serve::dispatcher::{Dispatcher, serving_thread};
use crate::serve::limits;
use crate::serve::stack;
use crate::serve::standstill::Standstill;
use crate::serve::turn::TurnLock;
use crate::serve::waits::{About, Reporter};

/// The most items that the broker accepts in the description of one wait.
const MOST_HELD: usize = 128;

/// Describes a wait for an answer through a link, in the given chain or in the one that the call began. `None` if
/// this thread keeps nothing from others.
pub(super) fn answer(
    (origin, link): (&Origin, &Link),
    ticket: Ticket,
    chain: Option<Chain>,
) -> Option<About> {
    if link.bus() != origin.reporter.bus() {
        // The broker does not know the numbers of a link that an older broker has made.
        return None;
    }
    let names = link.chains(link.end());
    let begun = names.begun_by(ticket.slot, ticket.generation);
    let (callee, call) = (link.peer().plugin(), begun.id);
    about(
        origin,
        chain.unwrap_or(begun).id,
        (callee, Needs::Answer { call }),
    )
}

/// Describes a wait for the outcome of a call that was sent, in this chain.
pub(super) fn outcome(
    (origin, link): (&Origin, &Link),
    ticket: Ticket,
    chain: Chain,
) -> Option<About> {
    if link.bus() != origin.reporter.bus() {
        return None;
    }
    let names = link.chains(link.end());
    let call = names.begun_by(ticket.slot, ticket.generation).id;
    about(
        origin,
        chain.id,
        (link.peer().plugin(), Needs::Outcome { call }),
    )
}

/// Describes a wait until a plugin of this bus has handled events of a topic.
pub(crate) fn handled(
    (reporter, topic): (&dyn Reporter, &str),
    (bus, callee): (u64, u64),
) -> Option<About> {
    if bus != reporter.bus() {
        return None;
    }
    let chain = chain::current().unwrap_or_else(chain::fresh);
    about_one((reporter, topic), chain.id, (callee, Needs::Handled))
}

/// Describes a wait for something from a plugin.
pub(super) fn about(origin: &Origin, chain: u64, what: (u64, Needs)) -> Option<About> {
    about_one((&*origin.reporter, &origin.gate), chain, what)
}

fn about_one(
    (reporter, gate): (&dyn Reporter, &str),
    chain: u64,
    (callee, needs): (u64, Needs),
) -> Option<About> {
    let dispatchers = serving_thread::dispatchers();
    let dispatchers = dispatchers.as_deref().unwrap_or_default();
    let mine = dispatchers.iter().filter(|dispatcher| dispatcher.is_mine());
    let mine: Vec<&Dispatcher> = mine.map(|dispatcher| &**dispatcher).collect();
    let served: Vec<_> = mine
        .iter()
        .map(|dispatcher| dispatcher.turn_lock())
        .collect();
    let standstill = Standstill::here(&served);
    let holds = held(reporter.bus(), &mine);
    (!holds.is_empty()).then(|| About {
        chain,
        callee,
        gate: gate.to_owned(),
        needs,
        holds,
        serves: stack::calls(),
        standstill,
    })
}

/// What this thread keeps from others: the turns of the handlers on its stack; itself, if it is one of the threads
/// that run a plugin's handlers; and permits.
fn held(bus: u64, mine: &[&Dispatcher]) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    let mut add = |turn_lock: &TurnLock, of| {
        if let Some(held) = turn_lock.owners().held(bus, of)
            && !all.iter().any(|other| other.plugin == held.plugin)
            && all.len() < MOST_HELD
        {
            all.push(held);
        }
    };
    stack::each_turn_lock(|turn_lock| add(turn_lock, 1));
    for dispatcher in mine.iter().filter(|dispatcher| dispatcher.is_kept_here()) {
        add(dispatcher.turn_lock(), dispatcher.threads().max(1));
    }
    let permits = limits::held_here().into_iter();
    let permits = permits
        .filter(|permit| permit.bus == bus)
        .map(|permit| Held {
            plugin: permit.plugin,
            gate: Some(permit.gate.to_string()),
            of: permit.of,
        });
    all.extend(permits.take(MOST_HELD.saturating_sub(all.len())));
    all
}
