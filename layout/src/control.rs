//! The records that plugins and broker exchange over the control socket.
//!
//! A datagram is a header of 16 bytes and one archived record, at most [`MAX_RECORD`] bytes:
//!
//! ```text
//! 0 magic "CALLGATE"    8 version u32    12 zero u32    16 the archived record
//! ```
//!
//! The header stays as it is in every version, so that two sides that do not understand each
//! other can say so.
//!
//! The records are nested by subject. Each subject has a file, which says who may send which record
//! when, what answers it, and what each side can do wrong:
//!
//! | subject | to the broker | to a plugin | about |
//! |---|---|---|---|
//! | session | [`SessionToBroker`] | [`SessionToPlugin`] | hello and end, answers, listings |
//! | gates | [`GateToBroker`] | [`GateToPlugin`] | what is provided, what is open |
//! | links | [`LinkToBroker`] | [`LinkToPlugin`] | who is on the other side, which gates it may call |
//! | memory | [`MemoryToBroker`] | [`MemoryToPlugin`] | outboxes and extents: mapped, handed over, returned |
//! | waits | [`WaitToBroker`] | [`WaitToPlugin`] | which plugins' dispatchers wait for which others |
//! | schemas | [`SchemaToBroker`] | [`SchemaToPlugin`] | the types of gates' arguments and results, in parts |
//! | sources | [`SourceToBroker`] | [`SourceToPlugin`] | topics that a plugin sends on, and their listeners |
//! | feeds | [`FeedToBroker`] | [`FeedToPlugin`] | topics that a plugin listens to, and the memory of their events |
//! | shares | [`ShareToBroker`] | [`ShareToPlugin`] | values in sealed memory, found by their tags |
//! | cells | [`CellToBroker`] | [`CellToPlugin`] | plain values that one plugin writes and others copy |
//!
//! The order is that of one socket: what either side sends first, the other reads first. A record of
//! one subject may therefore rely on an earlier one of another: a grant on the link that came before
//! it, a link on its outbox.
//!
//! The broker sends descriptors along with some datagrams, and the plugin answers each of these
//! with [`SessionToBroker::Took`]. A plugin sends a descriptor only with [`ShareToBroker::Return`].

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

mod cells;
mod facts;
mod feeds;
mod gates;
mod links;
mod memory;
mod names;
mod schemas;
mod session;
mod shares;
mod sources;
mod waits;
mod wire;

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::text::cut;

pub use cells::{CellToBroker, CellToPlugin};
pub use facts::{
    Availability, BrokerFacts, Clock, DoorbellName, Failure, GateState, Identity, LinkEnd,
    PeerInfo, PluginLimits, Pulse, Route, SchemaSource, Shape,
};
pub use feeds::{FeedToBroker, FeedToPlugin, Fit};
pub use gates::{GateToBroker, GateToPlugin};
pub use links::{LinkToBroker, LinkToPlugin};
pub use memory::{MemoryId, MemoryToBroker, MemoryToPlugin, Role};
pub use names::{check_gate_name, check_plugin_name, check_prefix};
pub use schemas::{SchemaToBroker, SchemaToPlugin};
pub use session::{SessionToBroker, SessionToPlugin};
pub use shares::{
    Form, Making, ShareFit, ShareToBroker, ShareToPlugin, VersionFacts, VersionName, Wanted,
};
pub use sources::{SourceToBroker, SourceToPlugin};
pub use waits::{Held, Needs, WaitToBroker, WaitToPlugin};
pub use wire::{DecodeError, header};

/// The version of everything that two sides must agree on: records, geometry, envelopes,
/// protocols in shared memory.
pub const VERSION: u32 = 12;
/// The longest datagram.
pub const MAX_RECORD: usize = 64 << 10;
/// The longest name of a plugin, in bytes.
pub const MAX_PLUGIN_NAME: usize = 128;
/// The longest name of a gate, in bytes.
pub const MAX_GATE_NAME: usize = 256;
/// The longest text that describes something: a signature, a display name, a version, a message.
pub const MAX_TEXT: usize = 4096;
/// The longest schema, in bytes.
pub const MAX_SCHEMA: u32 = crate::schema::MAX_SCHEMA as u32;
/// The longest schema that a plugin sends within the record by which it provides a gate, in bytes. A longer schema is
/// sent in parts of at most this length.
pub const MAX_INLINE_SCHEMA: usize = 32 << 10;
/// The longest value of a share that a plugin sends within the record by which it publishes a version, in bytes. The
/// kernel charges the memory of such a version to the broker's process and its cgroup; that of a longer one to its maker.
pub const MAX_SHORT: usize = 16 << 10;
// One record has room for the longest such value, the longest inline schema, a name, a signature and the framing.
const _: () =
    assert!(MAX_SHORT + MAX_INLINE_SCHEMA + MAX_GATE_NAME + MAX_TEXT + 1024 <= MAX_RECORD);
/// The most parameters that a gate can have.
pub const MAX_PARAMS: u8 = 8;

/// From a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// About the session.
    Session(SessionToBroker),
    /// About gates.
    Gate(GateToBroker),
    /// About a link.
    Link(LinkToBroker),
    /// About memory.
    Memory(MemoryToBroker),
    /// About a wait.
    Wait(WaitToBroker),
    /// About schemas.
    Schema(SchemaToBroker),
    /// About events that the plugin sends.
    Source(SourceToBroker),
    /// About events that it hears.
    Feed(FeedToBroker),
    /// About shares.
    Share(ShareToBroker),
    /// About cells.
    Cell(CellToBroker),
}

/// From the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToPlugin {
    /// About the session.
    Session(SessionToPlugin),
    /// About gates.
    Gate(GateToPlugin),
    /// About a link.
    Link(LinkToPlugin),
    /// About memory.
    Memory(MemoryToPlugin),
    /// About a wait.
    Wait(WaitToPlugin),
    /// About schemas.
    Schema(SchemaToPlugin),
    /// About events that the plugin sends.
    Source(SourceToPlugin),
    /// About events that it hears.
    Feed(FeedToPlugin),
    /// About shares.
    Share(ShareToPlugin),
    /// About cells.
    Cell(CellToPlugin),
}

macro_rules! from_subjects {
    ($record:ident: $($subject:ident($inner:ident)),+) => {
        $(impl From<$inner> for $record {
            fn from(record: $inner) -> $record {
                $record::$subject(record)
            }
        })+
    };
}

from_subjects!(
    ToBroker: Session(SessionToBroker), Gate(GateToBroker), Link(LinkToBroker), Memory(MemoryToBroker),
    Wait(WaitToBroker), Schema(SchemaToBroker), Source(SourceToBroker), Feed(FeedToBroker),
    Share(ShareToBroker), Cell(CellToBroker)
);
from_subjects!(
    ToPlugin: Session(SessionToPlugin), Gate(GateToPlugin), Link(LinkToPlugin), Memory(MemoryToPlugin),
    Wait(WaitToPlugin), Schema(SchemaToPlugin), Source(SourceToPlugin), Feed(FeedToPlugin),
    Share(ShareToPlugin), Cell(CellToPlugin)
);

impl Failure {
    /// A failure with a code and a message. A message of more than [`MAX_TEXT`] bytes is cut, and says so.
    pub fn new(code: crate::Code, message: impl fmt::Display) -> Failure {
        Failure {
            code: code as u16,
            message: cut(message.to_string(), MAX_TEXT),
            context: None,
        }
    }

    /// Adds the text of a JSON value. A text of more than [`MAX_TEXT`] bytes is left out.
    #[must_use]
    pub fn with_context(mut self, context: String) -> Failure {
        self.context = Some(context).filter(|context| context.len() <= MAX_TEXT);
        self
    }
}

#[cfg(test)]
mod tests;
