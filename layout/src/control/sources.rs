//! Records about sources: the topics on which plugins send events, the rings that they write, and their listeners.
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
//! [Feeds](super::FeedToBroker) draws the same from the listener's side.
//!
//! An *owned* topic has one source. The plugin that sends on it owns the name as if it were a gate: no other plugin
//! provides a gate or offers a topic of that name. On an *open* topic each plugin with the right has its own source; the
//! topic exists as long as any of them, and meanwhile no gate has that name.
//!
//! A plugin that comes back says `returning`. If another plugin has the owned topic by now, the broker sends `Lost` and
//! puts it in line; it sends `Offered` under the same request when the topic is free.
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
        /// The signature, to be shown to people: `(String, u32)`.
        signature: String,
        /// The encodings in which the sender can write its events.
        encodings: Encodings,
        /// Bytes of records that a ring of archives holds: one of the capacities that rings have, which are powers of two.
        capacity: u32,
        /// How many past events a new listener gets first.
        history: u32,
        /// The topic word in the sender's doorbell page.
        word: u16,
        /// The random number of this source; it stays the same when the broker is replaced.
        incarnation: u64,
        /// Whether the plugin comes back with a source that it had under an older broker.
        returning: bool,
    },
    /// End the source, or leave the line for its topic. A request, answered by
    /// [`Answer`](super::SessionToPlugin::Answer).
    Close {
        /// The plugin's number for this request.
        request: u32,
        /// The topic.
        topic: String,
    },
    /// The sender has allocated and mapped a ring.
    RingMade {
        /// The ring.
        ring: u64,
    },
    /// In the place of `RingMade`: the sender cannot allocate or map the ring.
    RingFailed {
        /// The ring.
        ring: u64,
        /// What went wrong.
        failure: Failure,
    },
    /// The sender has noted a listener: from here on its cursor bounds the source, and it misses no event.
    Heard {
        /// The feed.
        feed: u64,
        /// Where it begins in the ring.
        position: u64,
        /// The number of the event at that position, or of the next event that will lie there.
        number: u64,
    },
    /// In the place of `Heard`: this plugin cannot map the listener's memory. The broker ends the feed without a further
    /// record to this plugin.
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
    /// The plugin can send events: the feeds of all earlier subscribers are set up.
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
    /// Make a ring of a source. This record comes before `Offered` if a plugin has subscribed before, so it names the
    /// request. Descriptor: its memory, writable. Answered by `RingMade` or `RingFailed`.
    MakeRing {
        /// The number from `Offer`.
        request: u32,
        /// The ring; never used again by this broker.
        ring: u64,
        /// The encoding of the events in it.
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
        /// True if a separate thread of the listener takes the events, and not its dispatcher.
        pulled: bool,
        /// The listener.
        peer: PeerInfo,
    },
    /// A feed has ended.
    Unlisten {
        /// The ring.
        ring: u64,
        /// The feed.
        feed: u64,
    },
    /// No listener reads this ring any more.
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
