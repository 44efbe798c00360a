//! Records about a session: how it begins and ends, and what answers a request by its number.
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
//! Who comes back is not sent away for asking at once for all that it had. Not charged are `Standing`,
//! `Drained`, a `Provide` that names a life, as many in a session as the plugin may provide halves of gates, an
//! `Offer` that says `returning`, as many as it may provide gates, and an `Open` or `Subscribe` with which it comes to
//! have more gates open and subscribed to than before in its session.
//!
//! From its first `Standing` to `Drained` the plugin *drains*. Meanwhile each change of policy is answered
//! for with further `Refuse`s. `Standing`, `Refuse` and `Refused` are records about
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
    /// The plugin takes no more calls over links of an older broker: what it said with
    /// [`Standing`](super::LinkToBroker::Standing) is over. Needs no answer.
    Drained,
    /// The plugin is about to close, and leaves last words: what its peers are told when its session has ended.
    /// Needs no answer, and may come at any time. Together at most [`MAX_TEXT`](super::MAX_TEXT) bytes.
    Farewell {
        /// For people.
        message: String,
        /// For programs: the text of a JSON value.
        context: String,
    },
    /// Answers `Pulse`.
    Pulse {
        /// The broker's number for the question.
        request: u32,
        /// How the plugin's dispatcher stands.
        pulse: Pulse,
    },
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
    /// Answers each kind of hello. Descriptors: the plugin's doorbell, unless it shares the one that it
    /// named of this bus, and its status page, both to be mapped for writing.
    Welcome {
        /// The bus's number, drawn at random by each broker: plugins of one process that are on
        /// the same bus know each other by it.
        bus: u64,
        /// The plugin's id.
        plugin: u64,
        /// How much of everything it may have.
        limits: PluginLimits,
        /// Who takes it in.
        broker: BrokerFacts,
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
    /// Say how the dispatcher stands. Answered by `Pulse`.
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
