//! Types that several kinds of records contain: facts about plugins, gates and ends of links.

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use crate::encoding::{Encoding, Encodings};

/// The types that a caller uses for the arguments and result of one half of a gate, as far as the broker compares them.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of parameters; `None` is any number.
    pub params: Option<u8>,
    /// The fingerprint of the signature; see [`crate::schema`].
    pub fingerprint: u128,
    /// The encodings in which the caller can write its calls.
    pub encodings: Encodings,
    /// The signature for people: `(String, u32) -> i32`.
    pub signature: String,
}

/// Where the bytes of the schema are with which a plugin provides a gate.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SchemaSource {
    /// Here, up to [`MAX_INLINE_SCHEMA`](super::MAX_INLINE_SCHEMA) bytes.
    Inline(Vec<u8>),
    /// In the upload of this number ([`SchemaToBroker::Part`](super::SchemaToBroker)).
    Upload(u32),
}

/// What a plugin says about itself in its hello.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name by which others know it; at most one connected plugin of a bus has it.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Its version, in whatever form it likes.
    pub version: String,
    /// The clock by which its calls have their deadlines.
    pub clock: Clock,
}

/// Names one of the doorbell pages that a broker has made.
///
/// Plugins of one process can have one doorbell page in common, so that one word wakes the thread that
/// serves all of them. The first says `Hello` and is given a page; the others name that page in
/// `HelloInGroup`, before they know which bus they reach. The broker keeps the file for as long as any session uses it,
/// and sends it to the linked peers of each plugin.
///
/// | who | does | what happens |
/// |---|---|---|
/// | plugin | names a doorbell of another process, of another bus, or one that nobody has (any more) | it is given a page of its own: a name opens nothing |
/// | plugin | names a doorbell of its own process that is not its group's | its peers ring that one: its process has that page mapped already, and only its own calls are late |
/// | plugin | names very many | the first of this bus is looked for, and a record is no longer than others |
/// | peer | rings, or swallows wake-ups, of one plugin of a group | those of the whole group: what it can do to each plugin that it is linked with, and plugins of one user are one trust domain |
/// | first plugin | ends | the file stays, under the same name, as long as a plugin of its process has it |
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorbellName {
    /// The bus's own number, because two brokers may number their plugins alike.
    pub bus: u64,
    /// The plugin for which the page was made; that plugin may have ended.
    pub plugin: u64,
}

/// The monotonic clock of a process as it says hello. Deadlines are times of this clock, so two
/// processes whose clocks differ cannot call each other.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// How far the clock is ahead of the machine's own, in nanoseconds, as the time namespace says.
    /// `None` where the process cannot tell.
    pub offset: Option<i64>,
    /// The time that the clock shows, in nanoseconds.
    pub now: u64,
}

/// What the broker tells a plugin about a linked peer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The id of this incarnation; never used again by this broker.
    pub plugin: u64,
    /// Its process.
    pub pid: u32,
    /// What the plugin says about itself.
    pub identity: Identity,
}

/// One end of a link. Side 0 opened it, side 1 provided the first gate. A plugin that calls its
/// own gates has both.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub struct LinkEnd {
    /// The link; never used again by this broker.
    pub link: u64,
    /// 0 or 1.
    pub side: u8,
}

impl LinkEnd {
    /// The other end of the same link.
    pub fn other(self) -> LinkEnd {
        LinkEnd {
            link: self.link,
            side: 1 - (self.side & 1),
        }
    }
}

/// Whether, and how, a plugin that has a gate open can call one half of it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Nobody provides it.
    Absent,
    /// It can be called.
    Ready {
        /// How calls are to be written.
        encoding: Encoding,
    },
    /// It takes another number of parameters.
    LengthMismatch {
        /// The provider's signature.
        signature: String,
    },
    /// The provider takes none of the encodings in which the caller can write.
    NoEncoding {
        /// The provider's signature.
        signature: String,
        /// The encodings that the provider takes.
        takes: Encodings,
    },
    /// The provider takes or returns other types. The caller's library decides whether values can be converted.
    Differs {
        /// The provider's schema ([`SchemaToBroker::Fetch`](super::SchemaToBroker)).
        schema: u64,
        /// The provider's signature.
        signature: String,
        /// Whether calls can go as JSON; if not, the caller cannot call this half.
        json: bool,
    },
}

/// Where the calls of an open gate go.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The caller's end of the link.
    pub end: LinkEnd,
    /// The gate's index among the provider's grants on this link.
    pub index: u16,
}

/// The state of a gate, as the broker tells it to a plugin that has the gate open.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    /// The provider's name, while there is one.
    pub owner: Option<String>,
    /// Number of the gate's life. Each life has a larger number than the one before, also across brokers, with two
    /// exceptions. A provider that stays while its broker is replaced keeps the number that it has. A name under a
    /// prefix has the prefix's number, and has it again when a gate of exactly that name has come and gone. 0 while
    /// nobody provides the gate.
    pub generation: u64,
    /// The function: the half that returns results.
    pub function: Availability,
    /// The action: the half that returns none.
    pub action: Availability,
    /// Where calls go, if at least one half is ready, or differs and can be called as JSON.
    pub route: Option<Route>,
}

/// Why a session ended or a request was refused.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number of a [`crate::Code`].
    pub code: u16,
    /// What happened and what to do about it.
    pub message: String,
    /// Details for programs: the text of a JSON value, of at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
    pub context: Option<String>,
}

/// State of a plugin's dispatcher, as the plugin's library reports it. Plugins of one process that share a
/// dispatcher report the same state.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// How many turns of calls have ended.
    pub turns_ended: u64,
    /// True if calls wait in a ring and the dispatcher has not looked for calls since the broker's last question.
    pub is_waiting: bool,
    /// Nanoseconds until the latest deadline of the callers of running handlers; 0 if none of them still waits,
    /// `u64::MAX` if one of these deadlines is no longer known.
    pub busy_for: u64,
}

/// Facts by which a plugin tells one broker from another.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerFacts {
    /// The broker's process id, as the broker says. The plugin cannot use the socket's credentials: those of a socket
    /// that a service manager made name the manager's process.
    pub pid: u32,
    /// Number of this broker among those that have served its socket, from 1; 1 for a broker without a socket.
    pub generation: u64,
}

/// The limits of one plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// Gates that it provides.
    pub gates: u32,
    /// Gates that it has open.
    pub opens: u32,
    /// Links that it has an end of.
    pub links: u32,
    /// MiB of extents that it writes.
    pub extent_mib: u32,
    /// MiB of the schemas of gates that it provides, each counted once.
    pub schema_mib: u32,
    /// MiB of shares that it has made, and of older versions that it keeps.
    pub share_mib: u32,
    /// Shares and cells that it has in use, makes, waits for or watches.
    pub shares: u32,
}
