//! Records about a session: how it begins and ends, and what answers a request by its number.
//!
//! ```text
//! plugin               broker
//!   | (Invitation) <---- |   only on a connection that a broker leaves to a program it starts
//!   | Hello, Inspect --> |
//!   | <--------- Welcome |   doorbell and status page
//!   | StatusMapped ----> |   only now may the plugin ask for anything
//!   | ...                |
//!   | <----------- Ended |   the last record
//! ```
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | says no hello, or acknowledges no status page, in a step's time | its session ends (`TIMEOUT`): nothing hangs on it yet |
//! | plugin | asks for anything before `StatusMapped`, says hello twice, seals its status page first | its session ends (`PROTOCOL`) |
//! | plugin | does not say `Took` | the broker has at most 8 descriptors in flight to it; what else brings some waits in its queue, and with it all that comes later. A queue that overflows ends the session (`OVERLOADED`) |
//! | plugin | says `Took` more often than it was sent descriptors | its session ends (`PROTOCOL`) |
//! | plugin | sends descriptors | its session ends (`PROTOCOL`) |
//! | plugin | asks for a listing before it took the last one | `Answer` with `OVERLOADED` |
//! | either | dies | the socket closes, the session is over; links go on without the broker |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, Identity, PluginLimits};

/// About a session, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SessionToBroker {
    /// The first record of a session.
    Hello(Identity),
    /// The first record of a session that only asks for listings: it may neither provide nor open
    /// gates, and is let in where no other plugin is for want of descriptors.
    Inspect(Identity),
    /// A datagram with descriptors was received, also where not all of them could be.
    Took,
    /// The status page is mapped for writing.
    StatusMapped,
    /// Say what is on the bus. Answered by `Listing`, or by `Answer` with a failure.
    List {
        /// The plugin's number for this request.
        request: u32,
    },
}

/// About a session, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SessionToPlugin {
    /// The first record on a connection that a broker leaves to a program that it starts, and there
    /// alone: whoever receives it is the plugin ([`crate::sys::inherit`]).
    Invitation {
        /// The name that the plugin has to say.
        name: String,
    },
    /// Answers `Hello` and `Inspect`. Descriptors: the plugin's doorbell and its status page, both
    /// to be mapped for writing.
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
    /// Answers requests of all subjects that bear a number.
    Answer {
        /// The plugin's number for the request.
        request: u32,
        /// What was refused, if it was.
        failure: Option<Failure>,
    },
    /// Answers `List`. Descriptor: a sealed memory file with a JSON document.
    Listing {
        /// The plugin's number for the request.
        request: u32,
    },
}
