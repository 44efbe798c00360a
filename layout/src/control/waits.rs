//! Records about waits: by them the broker finds calls that wait for each other in a circle.
//!
//! A handler that waits for an answer keeps what it holds: its plugin's turn, a thread of its pool, a permit
//! of a gate that has a limit. Where such waits form a circle, none of them ends before a deadline. No plugin sees
//! all waits of a circle, so plugins tell the broker of their long waits.
//!
//! ```text
//! plugin                broker
//!   | Waiting ----------> |   a thread that holds something has waited for 50 ms
//!   | <---------- Confirm |   this wait and others may form a circle
//!   | Confirmed --------> |   it stands, after another look at everything that could end it
//!   | <--------- Deadlock |   all of them stand, and this is the youngest: its call is given up
//!   | Over -------------> |   it has ended, for whatever reason; also in the place of `Confirmed`
//! ```
//!
//! What a wait needs are the turn (or a thread) of the called plugin, and a permit of the called gate
//! where that has a limit. Both are *resources*, as is what a thread holds. A wait is blocked
//!
//! - where some thread has the handler of its call on its stack: as long as that thread's own wait is
//!   blocked;
//! - else as long as one of the resources that it needs is held, as often as there is of it, by waits that
//!   are blocked. One that a wait of the same chain holds is free for it: it is served on top of that one.
//!
//! A sender of events that waits until a listener has handled some needs a turn of the listener's plugin. If a circle has
//! such a wait, that is the one which ends: the sender writes over events that were not handled, as it does when the
//! listener's budget is used up.
//!
//! *It stands* means that from `Waiting` to `Confirmed` the thread ran nothing on top of the wait, and that nothing of
//! another chain (a call of a re-entrant gate) ran, or could have run, in a turn that the thread lent. A wait for
//! which that does not hold is over, and what is waited for after that is a new wait with a number of its own.
//! What others of its own chain run in such a turn does not matter: they are waits of their own if they last.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | says that it waits and does not | who waits for it may be told `DEADLOCK`; it could as well never answer them |
//! | plugin | names resources of a process that is not its own, or a called plugin that it has no link with, or that does not hear it | that wait is ignored |
//! | plugin | names a gate that is not provided | nobody is taken to need it or to hold it |
//! | plugin | says that it serves calls to another process | nobody is taken to be served by it |
//! | plugin | names a wait twice, or one that is over; answers a question that was not asked | nothing, but it counts as a request |
//! | plugin | holds or serves more than a stack can have | its session ends (`PROTOCOL`) |
//! | plugin | has more waits than the broker keeps for one | those beyond are ignored |
//! | plugin | does not answer `Confirm` | after a step's time its wait is left out, until it answers |
//! | plugin | does not give up what it is told to | the others wait until their deadlines |
//! | plugin | ends, or the link does | its waits are over |
//! | broker | ends, or says nothing | waits end with their deadlines |
//! | broker | names a wait that is over | nothing |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::Failure;

/// A resource that a waiting thread holds.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The plugin to which it belongs; in a group, any of its plugins that is on this bus.
    pub plugin: u64,
    /// `None` for the plugin's turn or one of its threads; otherwise the gate of the permit, or, for a name
    /// under a prefix, the prefix.
    pub gate: Option<String>,
    /// How many units of this resource there are: 1 for a turn. 0, for a turn or a gate, if calls may be answered without
    /// these units, because the plugin had left calls to be answered later when the wait began: then the broker cannot
    /// know that a call which no thread has on its stack is stuck behind the holders.
    pub of: u32,
}

/// What ends a wait.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The answer to a call that was made through a link. The provider takes it when it has a turn or a
    /// thread for it, and a permit of the gate.
    Answer {
        /// The call's name, which both sides derive from where it lies
        /// ([`ChainNames::begun_by`](crate::envelope::ChainNames::begun_by)), also where it began no chain.
        call: u64,
    },
    /// As `Answer`, for a call that was sent and so began its own chain: the resources that the waiting chain holds are
    /// not free for it.
    Outcome {
        /// The call's name.
        call: u64,
    },
    /// The turn of a plugin of the same process, and a permit of the gate: the thread
    /// will run the handler itself.
    Turn,
    /// A permit of the gate alone: the handler needs no turn, or runs on top of another chain's.
    Permit,
    /// This plugin sends events on a topic (named in `gate`) and waits until the other plugin has handled some. That
    /// plugin's dispatcher takes them when it has a turn or a thread for that. Each event is its own chain, so the
    /// resources that the waiting chain holds are not free for it.
    Handled,
}

/// About waits, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum WaitToBroker {
    /// A thread that holds something waits for an answer, or for the turn of a plugin of its process.
    Waiting {
        /// The plugin's number for this wait; never used again in a session.
        wait: u64,
        /// The chain in which the thread waits: that of the running handler, or else the one that the call began.
        chain: u64,
        /// The plugin that it waits for.
        callee: u64,
        /// The gate that it called, by the name under which it is open.
        gate: String,
        /// What ends it.
        needs: Needs,
        /// The resources that the thread holds, each once.
        holds: Vec<Held>,
        /// The names of the calls through links whose handlers the thread has on its stack.
        serves: Vec<u64>,
    },
    /// A wait is over, or a handler runs on top of it.
    Over {
        /// The number from `Waiting`.
        wait: u64,
    },
    /// Answers `Confirm`: after the question the thread has looked again at everything that could end
    /// the wait, and goes on waiting.
    Confirmed {
        /// The number from `Waiting`.
        wait: u64,
        /// The number from `Confirm`.
        round: u64,
    },
}

/// About waits, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum WaitToPlugin {
    /// Asks whether a wait stands. Answered by `Confirmed` if it does, by `Over` if not.
    Confirm {
        /// The number from `Waiting`.
        wait: u64,
        /// The broker's number for this question.
        round: u64,
    },
    /// A wait is part of a circle: the plugin must give its call up with this failure (`DEADLOCK`, with a description
    /// of the circle). Needs no answer but `Over`.
    Deadlock {
        /// The number from `Waiting`.
        wait: u64,
        /// What its caller is told.
        failure: Failure,
    },
}
