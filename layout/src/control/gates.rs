//! Records about gates: who provides what, and how what is open stands.
//!
//! All records to the broker are requests, which are charged to the plugin, and may be sent at any time
//! once its status page is mapped. `Provide`, `Withdraw` and `WhyAbsent` are answered by
//! [`SessionToPlugin::Answer`](super::SessionToPlugin::Answer); an open gate is followed by `State` and
//! `OpenFailed` until it is closed. For a state in which the gate can be called, the broker first sets
//! a link up, if there is none ([`LinkToPlugin`](super::LinkToPlugin)).
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
//! | provider | dies | who has its gates open hears the end of the link, and `State` without an owner |
//! | broker | dies | what is open and ready stays callable |

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
