//! Records about gates: providing and withdrawing them, and the states of the gates that a plugin has open.
//!
//! All records to the broker are requests, which a plugin may send at any time once it has mapped its status page.
//! The broker charges each request to the plugin, except `Sync` and the requests by which a plugin takes up again
//! what it had before ([coming back](super::SessionToBroker)). `Provide` is answered by `Provided`, or by
//! [`SessionToPlugin::Answer`](super::SessionToPlugin::Answer) with a failure; `Withdraw` and `WhyAbsent`
//! are answered by `Answer`. For an open gate the broker sends `State` and `OpenFailed` until the plugin closes it.
//! Before it sends a state in which the gate can be called, the broker sets a link up, if there is none
//! ([`LinkToPlugin`](super::LinkToPlugin)).
//!
//! # A provider that comes back
//!
//! A plugin that comes back to a new broker says in `Provide` which life of the gate it has provided.
//! Where nobody provides the gate, `Provided` says which life it is now: the same one, if this broker has
//! not known a life of this gate and the named life is from before its own time; otherwise a new one, as for
//! all others. Where another plugin provides the gate meanwhile, the plugin that comes back stands in line:
//!
//! ```text
//! plugin               broker
//!   | Provide{life} ---> |
//!   | <----------- Lost  |   another plugin provides the gate
//!   |                    |   (that one withdraws it, ends, or may no longer provide it)
//!   | <-------- Provided |   with the same request number: whoever has stood in line longest is next
//! ```
//!
//! If a plugin waits with both halves of a gate, both get their turn together. A plugin that offers a gate without
//! having been in line does not overtake those in line. `Withdraw` takes an offer out of the line. A plugin that
//! loses the right to provide a gate while it is in line is sent `Answer` with a failure, and leaves the line.
//!
//! # Prefixes
//!
//! A prefix is provided and withdrawn like a gate, and has its line and its lives like a gate. It stands for every
//! longer name that begins with it. When a plugin opens a name, the broker looks for an exact gate, and otherwise takes
//! the longest matching prefix. All names under a prefix belong to its owner: the broker refuses another plugin an
//! exact gate or a prefix under it, or a prefix above it (`ALREADY_PROVIDED`). A name under a prefix has the life of
//! the prefix.
//!
//! # A change that has returned is visible
//!
//! `State` takes its time, and a program may learn from others, sooner than from the broker, that a gate
//! is there, gone or allowed. So the library sends `Sync` when a call finds no way to its gate, or was refused and
//! certainly did not run; and before every wait for a gate:
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
//! has taken in everything that the broker knew when it read `Sync`. Then the caller's library looks at the gate
//! once more, and makes the call at most once more. Calls of one open gate share a `Sync` that was sent after they
//! began: one is on its way, and one waits to be sent.
//!
//! `Sync` is not charged, because nobody can see how often it is asked for: a program calls an absent
//! gate in a loop. Instead the broker answers a limited number of them a second, for all plugins together and
//! taking each plugin in turn; the others wait, at most one for each open gate. A `Sync` that waits is answered at
//! once when the state of its gate changes. So too many `Sync`s never end a session, and the broker spends no more
//! time on them than on that limited number.
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
        /// Whether `gate` is a prefix, which stands for all names under it ([`check_prefix`](super::check_prefix)).
        prefix: bool,
        /// Which half of it.
        kind: CallKind,
        /// What it takes and gives.
        schema: SchemaSource,
        /// The signature, to be shown to people: `(String, u32) -> i32`.
        signature: String,
        /// The encodings of calls that it takes.
        encodings: Encodings,
        /// The gate's record in the plugin's status page ([`crate::stats`]), if it has one.
        record: Option<u16>,
        /// If this plugin comes back: the life of the gate that it provided. 0 if the old broker had told it `Lost`
        /// and it was in line when that broker ended.
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
    /// Open a gate: the broker sends its state, now and whenever that changes, and makes it callable.
    Open {
        /// The plugin's number for this open gate.
        open: u32,
        /// The gate.
        gate: String,
        /// The types that the caller uses for the arguments and result of the function.
        function: Shape,
        /// The types that the caller uses for the arguments of the action.
        action: Shape,
    },
    /// Ask for confirmation that the plugin was sent the state that an open gate has now. Answered by `Synced`, which
    /// may take as long as setting up a link takes.
    Sync {
        /// The number from `Open`.
        open: u32,
    },
    /// Close an open gate: the broker sends no more states of it.
    Close {
        /// The number from `Open`.
        open: u32,
    },
    /// Ask why nobody provides a gate. The broker knows the programs that it started and that have not connected or have
    /// ended, the states of supervised plugins, and the plugin folders that it cannot use. Answered by `Answer`: without
    /// a failure if there are none of these; with `PROVIDER_GONE` if one of them ended before it connected and there is
    /// nobody left to wait for; otherwise with `NOT_READY`. If the cause is one supervised plugin, the context is an
    /// object with `plugin`, `state` and others.
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
        /// The number of the gate's life, as in [`GateState::generation`].
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
    /// The state of an open gate.
    State {
        /// The number from `Open`.
        open: u32,
        /// Its state.
        state: GateState,
    },
    /// Answers `Sync`: the last `State` or `OpenFailed` before this record is up to date.
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
    /// Nobody provides an open gate, and a program that the broker expected to provide it ended, or was refused, before
    /// it connected: `WhyAbsent` says more. Sent once for each such program.
    StartFailed {
        /// The number from `Open`.
        open: u32,
    },
}
