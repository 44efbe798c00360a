//! Records about gates: who provides what, and how what is open stands.
//!
//! All records to the broker are requests, which may be sent at any time once the plugin's status page is
//! mapped. They are charged to it but for `Sync`, and for what takes up what the plugin had
//! ([coming back](super::SessionToBroker)). `Provide` is answered by `Provided`, or by
//! [`SessionToPlugin::Answer`](super::SessionToPlugin::Answer) with a failure; `Withdraw` and `WhyAbsent`
//! are answered by `Answer`; an open gate is followed by `State` and `OpenFailed` until it is closed. For
//! a state in which the gate can be called, the broker first sets a link up, if there is none
//! ([`LinkToPlugin`](super::LinkToPlugin)).
//!
//! # A provider that comes back
//!
//! A plugin that comes back to a new broker says in `Provide` which life of the gate it has provided.
//! Where nobody provides the gate, `Provided` says which life it is now: the same one, if this broker has
//! not known a life of this gate and the one named is from before its own time; else a new one, as for
//! all others. Where another plugin provides the gate meanwhile, this one stands in line:
//!
//! ```text
//! plugin               broker
//!   | Provide{life} ---> |
//!   | <----------- Lost  |   another plugin provides the gate
//!   |                    |   (that one withdraws it, ends, or may no longer provide it)
//!   | <-------- Provided |   with the same request number: whoever has stood in line longest is next
//! ```
//!
//! Both halves of a plugin that wait are next together, and whoever provides a gate without having been
//! in line for it does not come before those who are. `Withdraw` takes an offer out of the line. Whoever
//! loses the right to provide a gate while it is in line is answered with `Answer` and a failure, and is
//! out of it.
//!
//! # Prefixes
//!
//! A prefix is provided, withdrawn, in line and alive like a gate, and stands for every longer name that begins
//! with it. The broker resolves a name that is opened: an exact gate, or else the longest prefix. What begins
//! with a prefix belongs to its owner: an exact gate or a prefix of another plugin under it, and a prefix
//! over such, are refused (`ALREADY_PROVIDED`). A name under a prefix has the life of the prefix.
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
//! | plugin | provides or opens more than its limits allow, or against its policy | `Answer` or `OpenFailed`; what is in line counts as provided |
//! | plugin | names a life that it did not have | watchers of its own gate take it for one that stayed; a life of this broker's time is not taken |
//! | plugin | stands in line for a gate that it never had | it may be given that gate, as it might by asking again and again |
//! | plugin | provides a prefix that does not end in `.`, or a gate that does | `Answer` with a failure |
//! | plugin | provides with a schema that cannot be | as [schemas](super::SchemaToBroker) say |
//! | plugin | stands in line for a half of a gate already | `Answer` with a failure |
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

use super::facts::{Failure, GateState, SchemaSource, Shape};
use crate::encoding::Encodings;
use crate::envelope::CallKind;

/// About gates, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GateToBroker {
    /// Offer one half of a gate. Answered by `Provided`; by `Lost` where the plugin comes back and another
    /// one provides the gate; or by `Answer` with a failure.
    Provide {
        /// The plugin's number for this request.
        request: u32,
        /// The gate, or the prefix.
        gate: String,
        /// Whether that is a prefix, which stands for all names under it ([`check_prefix`](super::check_prefix)).
        prefix: bool,
        /// Which half of it.
        kind: CallKind,
        /// What it takes and gives.
        schema: SchemaSource,
        /// The same for people: `(String, u32) -> i32`.
        signature: String,
        /// How it takes calls.
        encodings: Encodings,
        /// The gate's record in the plugin's status page ([`crate::stats`]), if it has one.
        record: Option<u16>,
        /// Which life of the gate it was, where this plugin comes back; 0 where it was told `Lost` since,
        /// and was in line when the broker ended.
        life: Option<u64>,
    },
    /// Offer one half of a gate no longer, or stand in line for it no longer.
    Withdraw {
        /// The plugin's number for this request.
        request: u32,
        /// The gate, or the prefix.
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
    /// have not connected or have ended, how supervised ones stand, and folders of plugins that cannot be used. Answered by `Answer`, without a failure where there are none;
    /// with `PROVIDER_GONE` where there is nobody to wait for, because one of them has ended before
    /// it connected; and else with `NOT_READY`. The context is an object, where that is one supervised plugin: `plugin`, `state` and others.
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
    /// Answers `Provide`: the plugin provides this half from now on.
    Provided {
        /// The plugin's number for the request.
        request: u32,
        /// Which of the gate's lives this is, as in [`GateState::generation`].
        life: u64,
    },
    /// Answers `Provide` of a plugin that comes back: another one provides the gate. The offer is in
    /// line, and `Provided` comes when the gate is free.
    Lost {
        /// The plugin's number for the request.
        request: u32,
        /// The name of the plugin that provides it.
        owner: String,
    },
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
