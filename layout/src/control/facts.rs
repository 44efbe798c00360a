//! What records are made of: plugins, gates, ends of links.

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use crate::encoding::{Encoding, Encodings};

/// What a caller means to give to and get from one half of a gate, as far as the broker compares it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of parameters; `None` is any number.
    pub params: Option<u8>,
    /// The fingerprint of the signature; see [`crate::schema`].
    pub fingerprint: u128,
    /// How it can write its calls.
    pub encodings: Encodings,
    /// The signature for people: `(String, u32) -> i32`.
    pub signature: String,
}

/// Where the bytes of a schema are that a plugin provides a gate with.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SchemaSource {
    /// Here, up to [`MAX_INLINE_SCHEMA`](super::MAX_INLINE_SCHEMA) bytes.
    Inline(Vec<u8>),
    /// In the upload of this number ([`SchemaToBroker::Part`](super::SchemaToBroker)).
    Upload(u32),
}

/// Who a plugin is.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name it is known by; one living plugin of a bus has it.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Its version, in whatever form it likes.
    pub version: String,
    /// The clock by which its calls have their deadlines.
    pub clock: Clock,
}

/// Which doorbell page is meant, of those that a broker has made.
///
/// Plugins of one process can have one doorbell page in common, so that one word wakes the thread that
/// serves all of them. The first says `Hello` and is given a page; the others name it in
/// `HelloInGroup`, before they know which bus they reach. The broker keeps the file for as long as any session has it, and hands it
/// to the linked peers of each.
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
    /// The plugin that it was made for, which may have ended.
    pub plugin: u64,
}

/// The monotonic clock of a process as it says hello. Deadlines are times of this clock, so two
/// processes whose clocks differ cannot call each other.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// How far it is ahead of the machine's own, in nanoseconds: what its time namespace says.
    /// `None` where the process cannot tell.
    pub offset: Option<i64>,
    /// What it shows, in nanoseconds.
    pub now: u64,
}

/// A plugin as its linked peers are told of it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The id of this incarnation; never used again by this broker.
    pub plugin: u64,
    /// Its process.
    pub pid: u32,
    /// Who it says it is.
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

/// How one half of a gate stands to a plugin that opened it.
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
    /// It takes no encoding that the caller can give.
    NoEncoding {
        /// The provider's signature.
        signature: String,
        /// What it takes.
        takes: Encodings,
    },
    /// It takes or gives other types. Whether values of the one can become values of the other, the
    /// caller's library says.
    Differs {
        /// The provider's schema ([`SchemaToBroker::Fetch`](super::SchemaToBroker)).
        schema: u64,
        /// The provider's signature.
        signature: String,
        /// Whether calls can go as JSON; else there is no way to call it.
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

/// How a gate stands to a plugin that opened it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    /// The provider's name, while there is one.
    pub owner: Option<String>,
    /// Which of the gate's lives this is: each is a larger number than the one before, also across
    /// brokers, except that a provider that stays while its broker is replaced goes on with the one
    /// that it has, and that a name under a prefix has the life of the prefix, also again, when a gate of just
    /// that name has come and gone. 0 while nobody provides it.
    pub generation: u64,
    /// The half that gives results.
    pub function: Availability,
    /// The half that gives none.
    pub action: Availability,
    /// The way there, if at least one half is ready, or differs and can be called as JSON.
    pub route: Option<Route>,
}

/// What a session ends with, or what a request is refused for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number of a [`crate::Code`].
    pub code: u16,
    /// What happened and what to do about it.
    pub message: String,
    /// The same for programs: the text of a JSON value, of at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
    pub context: Option<String>,
}

/// How the dispatcher of a plugin stands, as the plugin's library says. Where plugins of one process share a
/// dispatcher, it is about all of them.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// How many turns of calls have ended.
    pub turns_ended: u64,
    /// Whether calls wait that nobody has taken, and the dispatcher has not looked for any since the last question.
    pub is_waiting: bool,
    /// How long the caller of a running handler still waits, the longest of them, in nanoseconds. 0 where none does.
    pub busy_for: u64,
}

/// Which broker this is.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerFacts {
    /// Its process, as it says: the credentials of a socket that a service manager made name that one.
    pub pid: u32,
    /// Which broker in a row it is on its socket; 1 for one without a socket.
    pub generation: u64,
}

/// How much of everything a plugin may have.
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
    /// Shares and cells that it has in use, makes, waits for and watches.
    pub shares: u32,
}
