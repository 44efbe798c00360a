//! Records about waits: who stands still because of whom.
//!
//! A handler that waits for an answer keeps what it holds: its plugin's turn, a thread of its pool, one of
//! the calls that a gate runs at a time. Where such waits form a circle, nobody in it goes on before a
//! deadline. Only the broker sees all of them, so it is told of those that last.
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
//! What a wait needs are the turn (or a thread) of the called plugin, and one of the called gate's calls at
//! a time where the gate has a limit. Both are *resources*, as is what a thread holds: a wait is blocked as
//! long as one of the resources that it needs is held, as often as there is of it, by waits that are blocked.
//! A wait does not block another one of its own chain that is deeper: that is served on top of it.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | says that it waits and does not | who waits for it may be told `DEADLOCK`; it could as well never answer them |
//! | plugin | names resources of a process that is not its own, or a called plugin that it has no link with | that wait is ignored |
//! | plugin | names a wait twice, or one that is over | nothing |
//! | plugin | has more waits than it could have threads | its session ends (`PROTOCOL`) |
//! | plugin | does not answer `Confirm` | after a step's time its wait counts as over |
//! | plugin | ends, or the link does | its waits are over |
//! | broker | ends, or says nothing | waits end with their deadlines |
//! | broker | names a wait that is over | nothing |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::Failure;

/// What a waiting thread keeps from others.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose it is. Of a group, any plugin of it that is on this bus.
    pub plugin: u64,
    /// `None` for the plugin's turn or one of its threads; else one of the calls that this gate of it
    /// runs at a time.
    pub gate: Option<String>,
    /// How many of these there are: 1 for a turn.
    pub of: u32,
}

/// About waits, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum WaitToBroker {
    /// A thread that holds something waits for an answer, or for the turn of a plugin of its process.
    Waiting {
        /// The plugin's number for this wait; never used again in a session.
        wait: u64,
        /// The chain in which it waits.
        chain: u64,
        /// How many handlers of the chain were under way where it waits.
        depth: u8,
        /// The plugin that it waits for.
        callee: u64,
        /// The gate that it called.
        gate: String,
        /// What it holds.
        holds: Vec<Held>,
    },
    /// A wait is over, or its thread runs a handler on top of it.
    Over {
        /// The number from `Waiting`.
        wait: u64,
    },
    /// Answers `Confirm`: the thread has looked again, after it was asked, at everything that could end
    /// the wait, and waits on.
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
    /// Says whether a wait stands. Answered by `Confirmed`, or by `Over` where it does not.
    Confirm {
        /// The number from `Waiting`.
        wait: u64,
        /// The broker's number for this question.
        round: u64,
    },
    /// A wait is in vain: its call is to be given up, with this failure (`DEADLOCK`, and who waits for
    /// whom). Needs no answer but `Over`.
    Deadlock {
        /// The number from `Waiting`.
        wait: u64,
        /// What its caller is told.
        failure: Failure,
    },
}
