//! The records that plugins and broker exchange over the control socket.
//!
//! A datagram is a header of 16 bytes and one archived record, at most [`MAX_RECORD`] bytes:
//!
//! ```text
//! 0 magic "CALLGATE"    8 version u32    12 zero u32    16 the archived record
//! ```
//!
//! The header stays as it is in every version, so that two sides that do not understand each
//! other can say so. Descriptors come along only from the broker, and the plugin answers each
//! datagram that brought some with [`ToBroker::Took`].
//!
//! A program that a broker starts inherits its connection, with an [`ToPlugin::Invitation`] in it.
//!
//! # Setting a link up
//!
//! ```text
//! caller               broker                         provider
//!   | Open ------------> |                                |
//!   | <----- NewOutbox   |   NewOutbox -----------------> |   one writable outbox each
//!   | OutboxMapped ----> | <--------------- OutboxMapped  |   then: no further writable maps
//!   |                    |   LinkPeer, Grant -----------> |   caller's outbox, read-only
//!   |                    | <-- PeerMapped, GrantInstalled |
//!   | <----- LinkPeer    |                                |   provider's outbox, read-only
//!   | PeerMapped ------> |                                |
//!   | <----- GateState   |                                |   only now can a call be made
//! ```
//!
//! # An extent for large payloads, in either direction
//!
//! ```text
//! writer               broker                         reader
//!   | WantExtent ------> |                                |   charged to the writer and to the bus
//!   | <----- NewExtent   |                                |   its size sealed, without memory; writable
//!   | ExtentMapped ----> |                                |   the writer has allocated all of it
//!   |                    |                                |   no further writable maps, nothing can
//!   |                    |                                |   be freed; then: is all allocated?
//!   |                    |   PeerExtent ----------------> |   read-only
//!   |                    | <------------ PeerExtentMapped |
//!   | <--- ExtentReady   |                                |   only now can it be named in a call
//!   | ReturnExtent ----> |   PeerExtentGone ------------> |   when it was idle for a while
//!   |                    |                                |   charged until nobody holds it
//! ```
//!
//! The writer allocates, so that the kernel charges its memory cgroup and refuses or ends nobody
//! else. Where a side cannot allocate or map it, `ExtentFailed` stands in the place of its
//! acknowledgement: the broker lets the extent go, and tells the writer (`ExtentRefused`) where it
//! was the reader. What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | writer | dies before `ExtentMapped` | the broker closes its descriptors; with the writer's the memory goes |
//! | either | never acknowledges it | `ExtentRefused` to the writer (`TIMEOUT`); it keeps its number and its charge until the acknowledgement comes after all, which the broker answers with `PeerExtentGone` where it is the reader's |
//! | writer | says `ExtentMapped` and has not allocated all | its session ends (`PROTOCOL`): a reader must never have to allocate, nor read what its writer can take away |
//! | writer | allocates beyond the end, punches holes, shrinks | the kernel refuses: the size is sealed from the start, the rest before the broker looks |
//! | either | keeps a map or descriptor of what was returned, or of a link that has ended | it stays charged until the kernel tells the broker that nobody has it any more |
//! | reader | dies | the link ends; the writer's library unmaps its extents |
//! | broker | dies | what is ready goes on to be used; what is not is dropped by both sides |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

mod facts;
mod names;
mod wire;

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::envelope::CallKind;
use crate::geometry::Geometry;
use crate::text::cut;

pub use facts::{
    Availability, Clock, DoorbellName, Failure, GateState, Identity, LinkEnd, PeerInfo,
    PluginLimits, Route, Shape,
};
pub use names::{check_gate_name, check_plugin_name};
pub use wire::{DecodeError, header};

/// The version of everything that two sides must agree on: records, geometry, envelopes,
/// protocols in shared memory.
pub const VERSION: u32 = 6;
/// The longest datagram.
pub const MAX_RECORD: usize = 64 << 10;
/// The longest name of a plugin, in bytes.
pub const MAX_PLUGIN_NAME: usize = 128;
/// The longest name of a gate, in bytes.
pub const MAX_GATE_NAME: usize = 256;
/// The longest text that describes something: a signature, a display name, a version, a message.
pub const MAX_TEXT: usize = 4096;
/// The most parameters that a gate can have.
pub const MAX_PARAMS: u8 = 8;

/// From a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// The first record of a session.
    Hello(Identity),
    /// The first record of a session that only asks for listings: it may neither provide nor open
    /// gates, and is let in where no other plugin is for want of descriptors.
    Inspect(Identity),
    /// As `Hello`, from a plugin of a group: it wants to share a doorbell that others of its process
    /// have. Answered by a `Welcome` without a doorbell where it does, and by one with a doorbell of
    /// its own where nobody of its process has it.
    HelloInGroup {
        /// Who it is.
        identity: Identity,
        /// The doorbells of its group, of each bus at most one: it does not know the bus's number yet.
        doorbells: Vec<DoorbellName>,
    },
    /// A datagram with descriptors was received, also where not all of them could be.
    Took,
    /// The status page is mapped for writing.
    StatusMapped,
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
    /// The own outbox of a link is mapped for writing.
    OutboxMapped {
        /// This side.
        end: LinkEnd,
    },
    /// The peer's outbox is mapped for reading.
    PeerMapped {
        /// This side.
        end: LinkEnd,
    },
    /// A grant is in force: calls for it are answered.
    GrantInstalled {
        /// This side.
        end: LinkEnd,
        /// The grant.
        index: u16,
    },
    /// Make an extent for this side's large payloads.
    WantExtent {
        /// This side.
        end: LinkEnd,
        /// Its number: below [`MAX_EXTENTS`](crate::payload::MAX_EXTENTS), and not in use.
        number: u8,
        /// Its size, one of those that extents have.
        len: u32,
    },
    /// An own extent is allocated and mapped for writing.
    ExtentMapped {
        /// This side.
        end: LinkEnd,
        /// The extent.
        number: u8,
    },
    /// An extent of the peer's is mapped for reading.
    PeerExtentMapped {
        /// This side.
        end: LinkEnd,
        /// The peer's extent.
        number: u8,
    },
    /// An own extent is unmapped and of no more use.
    ReturnExtent {
        /// This side.
        end: LinkEnd,
        /// The extent.
        number: u8,
    },
    /// An extent cannot be used on this side: one of its own, in the place of `ExtentMapped`, or
    /// one of the peer's, in the place of `PeerExtentMapped`. Only the payload that waits for it
    /// fails; the link stays.
    ExtentFailed {
        /// This side.
        end: LinkEnd,
        /// Whether this side is the one that writes it.
        own: bool,
        /// The extent.
        number: u8,
        /// What went wrong.
        failure: Failure,
    },
    /// Something about a link failed on this side; it is of no use.
    LinkFailed {
        /// This side.
        end: LinkEnd,
        /// What went wrong.
        failure: Failure,
    },
    /// Say what is on the bus.
    List {
        /// The plugin's number for this request.
        request: u32,
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

/// From the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToPlugin {
    /// Answers `Hello`. Descriptors: the plugin's doorbell, unless it shares the one that it named of this bus,
    /// and its status page, both to be mapped for writing.
    Welcome {
        /// The bus's number, drawn at random by each broker: plugins of one process that are on
        /// the same bus know each other by it.
        bus: u64,
        /// The plugin's id.
        plugin: u64,
        /// How much of everything it may have.
        limits: PluginLimits,
    },
    /// The session is over.
    Ended(Failure),
    /// The other side of a link may not call some gates any more: what it calls under these
    /// indexes is refused from now on. Needs no answer.
    Revoke {
        /// This side of the link.
        end: LinkEnd,
        /// The indexes.
        indexes: Vec<u16>,
    },
    /// Answers `Provide` and `Withdraw`.
    Answer {
        /// The plugin's number for the request.
        request: u32,
        /// What was refused, if it was.
        failure: Option<Failure>,
    },
    /// A link is being set up. Descriptor: this side's outbox, to be mapped for writing.
    NewOutbox {
        /// This side.
        end: LinkEnd,
        /// How both outboxes of the link are laid out.
        geometry: Geometry,
    },
    /// The other side of the link. Descriptors: its outbox and status page, to be mapped for
    /// reading; its doorbell, to be mapped for writing; its process.
    LinkPeer {
        /// This side.
        end: LinkEnd,
        /// Who is on the other side.
        peer: PeerInfo,
    },
    /// The other side of a link may call a gate of this plugin under this index, with the types
    /// named here and no others: a half that has none may not be called under it.
    Grant {
        /// This side.
        end: LinkEnd,
        /// What envelopes name the gate by.
        index: u16,
        /// The gate.
        gate: String,
        /// The fingerprint of its function, if it has one.
        function: Option<u128>,
        /// The fingerprint of its action, if it has one.
        action: Option<u128>,
    },
    /// How an open gate stands.
    GateState {
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
    /// An extent was made. Descriptor: a file of its size, to be allocated and mapped for writing.
    NewExtent {
        /// This side.
        end: LinkEnd,
        /// Its number.
        number: u8,
        /// Its size.
        len: u32,
    },
    /// An extent was refused.
    ExtentRefused {
        /// This side.
        end: LinkEnd,
        /// Its number.
        number: u8,
        /// Why.
        failure: Failure,
    },
    /// The other side has an extent. Descriptor: its memory, to be mapped for reading.
    PeerExtent {
        /// This side.
        end: LinkEnd,
        /// Its number among the peer's.
        number: u8,
        /// Its size.
        len: u32,
    },
    /// The other side has mapped an own extent: payloads may lie in it.
    ExtentReady {
        /// This side.
        end: LinkEnd,
        /// Its number.
        number: u8,
    },
    /// An extent of the other side's is of no more use.
    PeerExtentGone {
        /// This side.
        end: LinkEnd,
        /// Its number among the peer's.
        number: u8,
    },
    /// A link has ended; its memory is to be unmapped.
    LinkGone {
        /// This side.
        end: LinkEnd,
        /// Why.
        failure: Failure,
    },
    /// Answers `List`. Descriptor: a sealed memory file with a JSON document.
    Listing {
        /// The plugin's number for the request.
        request: u32,
    },
    /// The first record on a connection that a broker leaves to a program that it starts, and there
    /// alone: whoever receives it is the plugin ([`crate::sys::inherit`]).
    Invitation {
        /// The name that the plugin has to say.
        name: String,
    },
    /// Nobody provides an open gate, and a program has ended, or was refused, before it connected,
    /// which was to do so as far as the broker knows: `WhyAbsent` says more. Sent once for each such
    /// program.
    StartFailed {
        /// The number from `Open`.
        open: u32,
    },
}

impl Failure {
    /// A failure with a code and a message. One of more than [`MAX_TEXT`] bytes is cut, and says so.
    pub fn new(code: crate::Code, message: impl fmt::Display) -> Failure {
        Failure {
            code: code as u16,
            message: cut(message.to_string(), MAX_TEXT),
        }
    }
}

#[cfg(test)]
mod tests;
