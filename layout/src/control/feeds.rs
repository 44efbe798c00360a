//! Records about feeds: the topics to which a plugin subscribes, and the memory in which it reads their events.
//!
//! ```text
//! listener             broker                 sender
//!   | Subscribe -------> |
//!   | <----------- Found |                      |   for each source that matches, now or later
//!   | Take ------------> |                      |   the listener's library has compared the types; or Leave
//!   |                    |  (MakeRing, RingMade)|   where the source has no ring of that encoding
//!   | <---------- Follow |                      |   the ring, the sender's doorbell and process; a cursor
//!   | Following -------> |                      |   all mapped, and the cursor's line is zero; or FollowFailed, or Leave
//!   |                    |  Listen -----------> |
//!   |                    | <------------- Heard |
//!   | <----------- Start |                      |   from here on no event is missed
//!   | <------ Subscribed |                      |   when no source of the time of `Subscribe` is on its way any more
//!   |                    |                      |
//!   | <----------- Ended |                      |   the source has ended, or the right to hear it was taken away
//!   | Leave -----------> |                      |   this feed alone; needs no answer
//!   | Unsubscribe -----> |                      |   all its feeds have ended; needs no answer
//! ```
//!
//! [Sources](super::SourceToBroker) draws the same from the sender's side.
//!
//! Subscribing to a topic without a source is no error: `Subscribed` comes at once, and `Found` when there is a source. A
//! prefix ends in `.`, and stands for every topic whose name begins with it.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | listener | subscribes without the right, to what is no name, or beyond its limits | `Answer` with a failure |
//! | listener | subscribes under a number that it uses already | its session ends (`PROTOCOL`) |
//! | listener | does not answer `Found` or `Follow` | that feed waits; the sender's `Offered` waits a step's time at most |
//! | listener | takes an encoding that `Found` did not offer, answers twice, or what it was not asked | its session ends (`PROTOCOL`) |
//! | listener | answers for, or leaves, a feed that has ended meanwhile; unsubscribes twice | nothing: they have crossed |
//! | listener | has 1,024 feeds | the next one is `Ended` with `OVERLOADED` in the place of `Follow`, and found anew as below |
//! | listener | cannot map what a feed lies in, or still uses the cursor | `FollowFailed`: the feed has ended |
//! | listener | says `Following` and has not zeroed its cursor | its source takes the old value for its word: it bounds no more, or is dropped |
//! | listener | dies | `Unlisten` to each source |
//! | both | a feed could not be set up, here or there | its source is `Found` anew, under another number, after 1, 2, 4 … 30 s |
//! | broker | says `Found` twice, `Follow` or `Start` of what was not taken | the library ignores it |
//! | broker | dies | feeds that have started go on |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, PeerInfo, Shape};
use crate::encoding::Encoding;

/// Whether, and how, a subscription can take the events of a source.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The types are the same, and both sides have this encoding.
    Same {
        /// The encoding of the events.
        encoding: Encoding,
    },
    /// The types differ. The listener's library decides whether the events can be converted.
    Differs {
        /// The source's schema ([`FeedToBroker::Fetch`]).
        schema: u64,
        /// Whether events can come as JSON; if not, the listener cannot take them.
        json: bool,
    },
    /// The two sides have no encoding in common, or the number of parameters differs.
    Unfit {
        /// `TYPE_MISMATCH` or `LENGTH_MISMATCH`, with a message.
        failure: Failure,
    },
}

/// About feeds, from their listener to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum FeedToBroker {
    /// Subscribe to a topic, or to all topics under a prefix. A request, answered by `Subscribed` or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure.
    Subscribe {
        /// The plugin's number for this request.
        request: u32,
        /// The plugin's number for this subscription.
        subscription: u32,
        /// The topic, or the prefix.
        topic: String,
        /// Whether `topic` is a prefix.
        prefix: bool,
        /// What the handlers take: parameters alone, and in which encodings.
        shape: Shape,
        /// True if a separate thread takes the events of the feeds, and not the plugin's dispatcher.
        pulled: bool,
    },
    /// End a subscription and all its feeds.
    Unsubscribe {
        /// The subscription.
        subscription: u32,
    },
    /// Set a feed up.
    Take {
        /// The feed, from `Found`.
        feed: u64,
        /// The encoding in which the listener wants the events.
        encoding: Encoding,
    },
    /// Do not set this feed up, or end it.
    Leave {
        /// The feed.
        feed: u64,
    },
    /// The listener has mapped everything that came with `Follow`, and has set the cursor's line to zero.
    Following {
        /// The feed.
        feed: u64,
    },
    /// In the place of `Following`: the listener cannot map the memory now. The feed has ended, and the broker sends
    /// `Found` for its source again later.
    FollowFailed {
        /// The feed.
        feed: u64,
    },
    /// Send a part of the schema of a source that was `Found` to differ. Answered by
    /// [`Part`](super::SchemaToPlugin::Part), or by `Answer` with a failure.
    Fetch {
        /// The plugin's number for this request.
        request: u32,
        /// The feed.
        feed: u64,
        /// The schema, from `Found`.
        schema: u64,
        /// Where the part begins, in bytes from the start of the schema.
        offset: u32,
    },
}

/// About feeds, from the broker to their listener.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum FeedToPlugin {
    /// Each source that matched at the time of `Subscribe` has started, was left, or has failed.
    Subscribed {
        /// The number from `Subscribe`.
        request: u32,
    },
    /// There is a source that a subscription matches. Answered by `Take` or `Leave`.
    Found {
        /// The subscription.
        subscription: u32,
        /// The feed; never used again by this broker.
        feed: u64,
        /// The topic.
        topic: String,
        /// The plugin that sends on it.
        peer: PeerInfo,
        /// The number of this source; a source keeps it when its broker is replaced.
        incarnation: u64,
        /// Its signature.
        signature: String,
        /// Whether, and how, the subscription can take its events.
        fit: Fit,
    },
    /// The memory of a feed. Descriptors: its ring, to be mapped for reading; the sender's doorbell, to be mapped for
    /// writing; its process. Answered by `Following`, by `FollowFailed`, or by `Leave`.
    Follow {
        /// The feed.
        feed: u64,
        /// Its cursor in this plugin's status page.
        cursor: u16,
        /// Bytes of the ring's memory.
        len: u32,
        /// The source's topic word in the sender's doorbell page.
        word: u16,
    },
    /// The source's plugin has noted the listener: from here on it misses no event.
    Start {
        /// The feed.
        feed: u64,
        /// Where it begins in the ring.
        position: u64,
        /// The number of the event at that position, or of the next event that will lie there.
        number: u64,
    },
    /// A feed has ended, because its source has ended, the listener lost the right to hear it, or it could not be set
    /// up. The listener may still take events that were published. The broker may give its cursor to another feed.
    Ended {
        /// The feed.
        feed: u64,
        /// Why.
        failure: Failure,
    },
}
