//! Records about sources: plugins as senders of events, the rings that they write, and who listens.
//!
//! ```text
//! sender               broker
//!   | Offer -----------> |
//!   |                    |   every subscription that matches is set up, a step's time at most
//!   | <--------- Offered |   or Lost, where it comes back and the topic is another plugin's; or Answer with a failure
//!   |                    |
//!   |                    |   a feed needs a ring of this encoding, and there is none
//!   | <-------- MakeRing |   its memory, writable, its size sealed
//!   | RingMade --------> |   all of it allocated and mapped. The broker seals it, and looks whether all is there
//!   | <---------- Listen |   the listener's status page, doorbell and process
//!   | Heard -----------> |   noted under the send lock: where the feed begins; or ListenFailed
//!   |                    |
//!   | <-------- Unlisten |   a feed has ended; needs no answer
//!   | <-------- DropRing |   nobody reads it any more; needs no answer
//!   | Close -----------> |   or Closed, where the right was taken away: the source has ended
//! ```
//!
//! How a listener sees the same is drawn in [feeds](super::FeedToBroker).
//!
//! An owned topic belongs to the gate of that name: nobody else provides or offers it. An open one is a name
//! on which each plugin with the right has a source of its own; it lasts as long as one of them, and no gate has
//! that name meanwhile.
//!
//! A plugin that comes back says `returning`: where an owned topic is another plugin's by now, it stands in line,
//! is told `Lost`, and `Offered` under the same request when the topic is free.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | sender | offers a topic of another's gate, an open one where there is a gate, or without the right | `Answer` with a failure |
//! | sender | offers a topic twice, or with settings that cannot be | `Answer` with a failure |
//! | sender | names a topic word that is not its own | peers that it has anyway are woken in vain, or too late |
//! | sender | says `RingMade` and has not allocated all, or sealed it first | its session ends (`PROTOCOL`) |
//! | sender | keeps the kernel from sealing a ring | its session ends (`TIMEOUT`) |
//! | sender | cannot have a ring | `RingFailed`: the feeds that need it are ended with that failure, and set up anew after 1, 2, 4 … 30 s |
//! | sender | cannot map what a listener lies in | `ListenFailed`: the same for that feed |
//! | sender | does not answer | the feeds wait; whoever subscribes has a deadline of its own |
//! | sender | answers twice, or what it was not asked | its session ends (`PROTOCOL`) |
//! | sender | answers for a ring or feed that has ended meanwhile | nothing: the two have crossed |
//! | sender | says in `Heard` what is not so | its own listeners find that, and end that feed |
//! | sender | dies | `Ended` to its listeners, which may have seen the process end before; they take what was published first |
//! | broker | dies | feeds that have started go on; what is half set up is dropped by both sides |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, PeerInfo, SchemaSource};
use crate::encoding::{Encoding, Encodings};

/// About sources, from their sender to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SourceToBroker {
    /// Send events on a topic. A request, answered by `Offered`, by `Lost`, or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure.
    Offer {
        /// The plugin's number for this request.
        request: u32,
        /// The topic: a gate's name.
        topic: String,
        /// Whether others may send on it as well.
        open: bool,
        /// The parameters of its events, as those of an action.
        schema: SchemaSource,
        /// The same for people: `(String, u32)`.
        signature: String,
        /// How its events can be written.
        encodings: Encodings,
        /// Bytes of records that a ring of archives holds: a power of two of those that rings have.
        capacity: u32,
        /// How many of the last events a new listener is shown first.
        history: u32,
        /// The topic word in the sender's doorbell page.
        word: u16,
        /// The random number of this source, the same across brokers.
        incarnation: u64,
        /// Whether the plugin comes back with a source that it had.
        returning: bool,
    },
    /// The source has ended, or its plugin stands in line for it no longer. A request, answered by
    /// [`Answer`](super::SessionToPlugin::Answer).
    Close {
        /// The plugin's number for this request.
        request: u32,
        /// The topic.
        topic: String,
    },
    /// A ring is allocated and mapped.
    RingMade {
        /// The ring.
        ring: u64,
    },
    /// In the place of `RingMade`: it cannot be.
    RingFailed {
        /// The ring.
        ring: u64,
        /// What went wrong.
        failure: Failure,
    },
    /// A listener is noted: from here on it bounds the source, and nothing is sent past it.
    Heard {
        /// The feed.
        feed: u64,
        /// Where it begins in the ring.
        position: u64,
        /// The number of the event that lies there, or is next.
        number: u64,
    },
    /// In the place of `Heard`: this plugin has no room for what the listener lies in. It is not told that the feed has ended.
    ListenFailed {
        /// The feed.
        feed: u64,
        /// What went wrong.
        failure: Failure,
    },
}

/// About sources, from the broker to their sender.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SourceToPlugin {
    /// Events can be sent: who subscribed before is set up.
    Offered {
        /// The number from `Offer`.
        request: u32,
        /// The source; never used again by this broker.
        source: u64,
    },
    /// Another plugin has the topic, and this one is in line for it.
    Lost {
        /// The number from `Offer`.
        request: u32,
        /// The plugin that has it.
        owner: String,
    },
    /// Make a ring of a source. It comes before `Offered` where somebody has subscribed before, so it names the
    /// request. Descriptor: its memory, writable. Answered by `RingMade` or `RingFailed`.
    MakeRing {
        /// The number from `Offer`.
        request: u32,
        /// The ring; never used again by this broker.
        ring: u64,
        /// What it is for.
        encoding: Encoding,
        /// Bytes of memory: a page, and its capacity.
        len: u32,
    },
    /// A plugin listens. Descriptors: its status page, to be mapped for reading; its doorbell, to be mapped for writing; its
    /// process. Answered by `Heard` or `ListenFailed`.
    Listen {
        /// The ring.
        ring: u64,
        /// The feed; never used again by this broker.
        feed: u64,
        /// Its cursor in the listener's status page.
        cursor: u16,
        /// Whether a thread of its own takes from it, and not the plugin's dispatcher.
        pulled: bool,
        /// Who listens.
        peer: PeerInfo,
    },
    /// A feed has ended.
    Unlisten {
        /// The ring.
        ring: u64,
        /// The feed.
        feed: u64,
    },
    /// Nobody reads a ring any more.
    DropRing {
        /// The ring.
        ring: u64,
    },
    /// The source has ended, because its plugin may not send on this topic any more. Its rings and feeds are gone.
    Closed {
        /// The source.
        source: u64,
        /// Why.
        failure: Failure,
    },
}
