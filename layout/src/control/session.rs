//! Records about a session: its beginning and end, listings, and the answer to requests of all subjects.
//!
//! ```text
//! plugin               broker
//!   | (Invitation) <---- |   only on a connection that a broker leaves to a program it starts
//!   | Hello, Inspect,    |
//!   | HelloInGroup ----> |
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
//! | plugin | does not say `Took` | the broker has at most 8 descriptors in flight to it; what else brings some waits in its queue, and with it all that comes later. A queue that overflows ends the session (`TIMEOUT`) |
//! | plugin | says `Took` more often than it was sent descriptors | its session ends (`PROTOCOL`) |
//! | plugin | sends descriptors | its session ends (`PROTOCOL`) |
//! | plugin | asks for a listing before it took the last one | `Answer` with `OVERLOADED` |
//! | plugin | says `Farewell` twice | the later one counts |
//! | plugin | says `Pulse` unasked, or twice | its session ends (`PROTOCOL`) |
//! | plugin | does not answer a `Pulse`, or lies in it | nothing: who supervises its program may take it for hung, or not |
//! | plugin | says a `Farewell` that is too long, or whose context is no JSON | its session ends (`PROTOCOL`) |
//! | either | dies | the socket closes, the session is over; links go on without the broker |
//!
//! # Coming back
//!
//! A plugin whose broker has ended says hello to the next one, while the links that the old one made go
//! on. Right after `StatusMapped` it sends, in this order:
//!
//! ```text
//! plugin               broker
//!   | Standing --------> |   for each old link, before all else: whose calls the plugin still takes over it
//!   | <---------- Refuse |   which of them it is to refuse, as of this broker's policy; maybe none
//!   | Refused ---------> |
//!   | Provide ---------> |   with the life that each gate had
//!   | <- Provided, Lost  |
//!   | Open ------------> |   what it had open, under the numbers that it has
//!   | ...                |
//!   | Drained ---------> |   it takes no more calls over old links
//! ```
//!
//! A plugin that comes back may ask at once for everything that it had, without exceeding its rate of requests. The
//! broker does not charge: `Standing` and `Drained`; a `Provide` that names a life, as many in a session as the plugin
//! may provide halves of gates; an `Offer` with `returning`, as many as it may provide gates; an `Open` or
//! `Subscribe` that raises the number of its open gates and subscriptions above the highest so far in the session.
//!
//! From its first `Standing` to `Drained` the plugin *drains*. Meanwhile the broker sends further `Refuse`s for each
//! change of policy. `Standing`, `Refuse` and `Refused` are records about
//! [links](super::LinkToBroker), `Provide`, `Provided` and `Lost` those about [gates](super::GateToBroker).
//! A session drains once: all old links are named before `Drained`, of whichever broker they are.
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | says `Drained` and has said no `Standing` | nothing: it had no old links |
//! | plugin | says `Standing` after `Drained` | its session ends (`PROTOCOL`) |
//! | plugin | never says `Drained` | the listing shows it as draining; what it stands for counts towards its limit until its session ends |
//! | broker | dies while a plugin drains | the next one is told what stands then |
//!
//! # Which end is for good
//!
//! A plugin whose session ended, or whose hello was refused, with one of these codes does not come back by
//! itself: `PERMISSION_DENIED`, `PROTOCOL`, `OVERLOADED`, `VERSION_MISMATCH`, `INVALID_ARGUMENT`. With
//! any other it says hello again after a while.

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{BrokerFacts, DoorbellName, Failure, Identity, PluginLimits, Pulse};

/// About a session, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SessionToBroker {
    /// The first record of a session.
    Hello(Identity),
    /// The first record of a session that only asks for listings: it may neither provide nor open
    /// gates, and is let in where no other plugin is for want of descriptors.
    Inspect(Identity),
    /// As `Hello`, from a plugin of a group: it wants to share a doorbell that other plugins of its process
    /// have. Answered by a `Welcome` without a doorbell if it can share one of those named, and otherwise by a
    /// `Welcome` with a doorbell of its own.
    HelloInGroup {
        /// The plugin.
        identity: Identity,
        /// The doorbells of its group, of each bus at most one: it does not know the bus's number yet.
        doorbells: Vec<DoorbellName>,
    },
    /// The plugin has received a datagram with descriptors, even if it could not receive all of them.
    Took,
    /// The plugin has mapped its status page for writing.
    StatusMapped,
    /// The plugin takes no more calls over links of an older broker: the broker forgets all of its
    /// [`Standing`](super::LinkToBroker::Standing)s. Needs no answer.
    Drained,
    /// The plugin is about to close, and gives the reason that the broker tells its peers when the session has ended.
    /// Needs no answer, and may come at any time. Together at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
    Farewell {
        /// The reason for people.
        message: String,
        /// The reason for programs: the text of a JSON value.
        context: String,
    },
    /// Answers `Pulse`.
    Pulse {
        /// The broker's number for the question.
        request: u32,
        /// The state of the plugin's dispatcher.
        pulse: Pulse,
    },
    /// Ask for a listing of the bus. Answered by `Listing`, or by `Answer` with a failure.
    List {
        /// The plugin's number for this request.
        request: u32,
    },
}

/// About a session, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SessionToPlugin {
    /// The first record on a connection that a broker passes to a program that it starts; sent on no other
    /// connection. The process that receives it is the plugin ([`crate::sys::inherit`]).
    Invitation {
        /// The name that the plugin must give in its hello.
        name: String,
    },
    /// Answers each kind of hello. Descriptors: the plugin's doorbell, unless it shares a doorbell that it
    /// named, and its status page, both to be mapped for writing.
    Welcome {
        /// The bus's number, drawn at random by each broker: plugins of one process that are on
        /// the same bus know each other by it.
        bus: u64,
        /// The plugin's id.
        plugin: u64,
        /// The plugin's limits.
        limits: PluginLimits,
        /// The broker.
        broker: BrokerFacts,
    },
    /// The session is over.
    Ended(Failure),
    /// Answers a request of any subject that has a number and no answer of its own kind.
    Answer {
        /// The plugin's number for the request.
        request: u32,
        /// Why the broker refused the request; `None` if it was granted.
        failure: Option<Failure>,
    },
    /// Ask for the state of the plugin's dispatcher. Answered by `Pulse`.
    Pulse {
        /// The broker's number for this question.
        request: u32,
    },
    /// Answers `List`. Descriptor: a sealed memory file with a JSON document.
    Listing {
        /// The plugin's number for the request.
        request: u32,
    },
}
