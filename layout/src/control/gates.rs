//! Records about gates: who provides what, and how what is open stands.
//!
//! All records to the broker are requests, which may be sent at any time once the plugin's status page is
//! mapped, and are charged to it but for `Sync`. `Provide`, `Withdraw` and `WhyAbsent` are answered by
//! [`SessionToPlugin::Answer`](super::SessionToPlugin::Answer); an open gate is followed by `State` and
//! `OpenFailed` until it is closed. For a state in which the gate can be called, the broker first sets
//! a link up, if there is none ([`LinkToPlugin`](super::LinkToPlugin)).
//!
//! # What returned is visible
//!
//! `State` takes its time, and a program may learn from others, sooner than from the broker, that a gate
//! is there, gone or allowed. So a call asks where it finds no way to its gate, or was refused and
//! certainly did not run; and so does every wait for a gate before it begins:
//!
//! ```text
//! caller               broker                        others
//!   |                    | <----- Provide, Withdraw, new rights: answered before the call began
//!   | Sync ------------> |
//!   |                    |   where a link or a grant for this gate is under way, it waits for that
//!   | <----------- State |   or OpenFailed; nothing, where the caller was told before
//!   | <---------- Synced |
//! ```
//!
//! Both travel on one socket, whose records the caller's library takes in order: when it reads `Synced`, it
//! has taken in everything that the broker knew when it read `Sync`. Then the call looks at its gate once
//! more, and is made once more at most. Calls of one open gate share a `Sync` that was sent after they
//! began: one is on its way, and one waits to be sent.
//!
//! `Sync` is not charged, because nobody can see how often it is asked for: a program calls an absent
//! gate in a loop. Instead the broker answers a number of them a second, of all plugins together and
//! each plugin in turn; others wait, at most one for each open gate. Whoever waits is answered at once
//! when there is news of the gate. So a `Sync` never ends a session for its number, and takes no more of the
//! broker's time than that number.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | provides another's gate, or withdraws what it does not provide | `Answer` with a failure |
//! | plugin | provides or opens more than its limits allow, or against its policy | `Answer` or `OpenFailed` |
//! | plugin | opens two gates under one number | its session ends (`PROTOCOL`) |
//! | plugin | closes a number that it did not open | nothing: the close and an `OpenFailed` may have crossed |
//! | plugin | asks more often than it may | its session ends (`OVERLOADED`) |
//! | plugin | sends a second `Sync` for an open gate before `Synced` | its session ends (`PROTOCOL`) |
//! | plugin | sends `Sync` for a number that it has not open | nothing, but it is charged: one thread may close what another asks about |
//! | plugin | closes a gate before `Synced` | nothing: there is no `Synced` |
//! | provider | dies | who has its gates open hears the end of the link, and `State` without an owner; then `Synced` |
//! | provider | does not do its part of a link or a grant | the step's time ends that: `OpenFailed`, then `Synced` |
//! | broker | does not answer `Sync` | the call fails at its deadline, with what it failed with before |
//! | broker | sends `Synced` unasked | nothing |
//! | broker | dies | what is open and ready stays callable; who waits for `Synced` fails at once |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, GateState, Shape};
use crate::envelope::CallKind;

/// About gates, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GateToBroker {
    /// Offer one half of a gate.
    Provide {
        /// The plugin's number for this request.
        request: u32,
        /// The gate.
        gate: String,
        /// Which half of it.
        kind: CallKind,
        /// What it takes and gives.
        shape: Shape,
        /// The gate's record in the plugin's status page ([`crate::stats`]), if it has one.
        record: Option<u16>,
    },
    /// Offer one half of a gate no longer.
    Withdraw {
        /// The plugin's number for this request.
        request: u32,
        /// The gate.
        gate: String,
        /// Which half of it.
        kind: CallKind,
    },
    /// Say how a gate stands, now and whenever that changes, and make it callable.
    Open {
        /// The plugin's number for this open gate.
        open: u32,
        /// The gate.
        gate: String,
        /// What the caller means to give to and get from its function.
        function: Shape,
        /// What the caller means to give to its action.
        action: Shape,
    },
    /// Answer when the plugin was told how an open gate stands now. Answered by `Synced`, which may take
    /// as long as a link takes to be set up.
    Sync {
        /// The number from `Open`.
        open: u32,
    },
    /// An open gate is no longer of interest.
    Close {
        /// The number from `Open`.
        open: u32,
    },
    /// Say what the broker knows of why nobody provides a gate: programs that it started, and that
    /// have not connected or have ended. Answered by `Answer`, without a failure where there are none;
    /// with `PROVIDER_GONE` where there is nobody to wait for, because one of them has ended before
    /// it connected; and else with `NOT_READY`.
    WhyAbsent {
        /// The plugin's number for this request.
        request: u32,
        /// The gate.
        gate: String,
    },
}

/// About gates, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GateToPlugin {
    /// How an open gate stands.
    State {
        /// The number from `Open`.
        open: u32,
        /// How it stands.
        state: GateState,
    },
    /// Answers `Sync`: what was sent before this is how the gate stands.
    Synced {
        /// The number from `Open`.
        open: u32,
    },
    /// An open request was refused.
    OpenFailed {
        /// The number from `Open`.
        open: u32,
        /// Why.
        failure: Failure,
    },
    /// Nobody provides an open gate, and a program has ended, or was refused, before it connected,
    /// which was to do so as far as the broker knows: `WhyAbsent` says more. Sent once for each such
    /// program.
    StartFailed {
        /// The number from `Open`.
        open: u32,
    },
}
