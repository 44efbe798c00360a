//! Records about events that plugins send, and setting up a feed over real sockets.

use std::os::fd::{AsFd, OwnedFd};

use callgate_layout::control::{
    Failure, FeedToBroker, FeedToPlugin, SchemaSource, Shape, SourceToBroker, SourceToPlugin,
    ToPlugin,
};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::{Encoding, Encodings};

use super::{Peer, schema, shape};

/// The offer of an owned topic. Callers change what they need.
pub(crate) fn offer(topic: &str) -> SourceToBroker {
    SourceToBroker::Offer {
        request: 1,
        topic: topic.into(),
        open: false,
        schema: SchemaSource::Inline(schema(7)),
        signature: "(u32)".into(),
        encodings: Encodings::BOTH,
        capacity: 1 << 20,
        history: 0,
        word: 9,
        incarnation: 77,
        returning: false,
    }
}

/// A subscription to a topic, or to what is under a prefix.
pub(crate) fn subscribe(subscription: u32, topic: &str, encodings: Encodings) -> FeedToBroker {
    FeedToBroker::Subscribe {
        request: subscription,
        subscription,
        topic: topic.into(),
        prefix: topic.ends_with('.'),
        shape: Shape {
            encodings,
            ..shape(7)
        },
        pulled: false,
    }
}

/// A feed, with what both sides have of it.
pub(crate) struct Feed {
    pub(crate) feed: u64,
    pub(crate) ring: u64,
    /// The sender's file with its map, if it has made the ring for this feed.
    pub(crate) written: Option<(OwnedFd, Mapping)>,
    /// What the listener was sent.
    pub(crate) read: Vec<OwnedFd>,
    /// What the sender was sent of the listener.
    pub(crate) listener: Vec<OwnedFd>,
}

impl Peer {
    /// Offers a topic that nobody has subscribed to yet.
    pub(crate) fn offers(&mut self, offer: SourceToBroker) -> u64 {
        self.send(offer);
        match self.record() {
            ToPlugin::Source(SourceToPlugin::Offered { source, .. }) => source,
            other => panic!("not offered: {other:?}"),
        }
    }

    /// The number of the feed that the plugin is told of next.
    pub(crate) fn found(&mut self) -> u64 {
        match self.record() {
            ToPlugin::Feed(FeedToPlugin::Found { feed, .. }) => feed,
            other => panic!("no source found: {other:?}"),
        }
    }

    /// The ring that the plugin is asked to make next: its number, its length and its file.
    pub(crate) fn ring(&mut self) -> (u64, u32, OwnedFd) {
        match self.next() {
            Some((ToPlugin::Source(SourceToPlugin::MakeRing { ring, len, .. }), mut files)) => {
                (ring, len, files.pop().unwrap())
            }
            other => panic!("no ring to make: {other:?}"),
        }
    }

    /// Makes a ring, as a correct sender does. Returns its file and its map.
    pub(crate) fn makes_ring(&mut self) -> (OwnedFd, Mapping) {
        let (ring, len, file) = self.ring();
        memfd::allocate(file.as_fd(), len as usize).unwrap();
        let map = Mapping::writable(file.try_clone().unwrap(), len as usize).unwrap();
        self.send(SourceToBroker::RingMade { ring });
        (file, map)
    }

    /// The next end of a feed, with the failure.
    pub(crate) fn feed_ended(&mut self) -> (u64, Failure) {
        match self.record() {
            ToPlugin::Feed(FeedToPlugin::Ended { feed, failure }) => (feed, failure),
            other => panic!("no feed has ended: {other:?}"),
        }
    }
}

/// Sets up a feed that a listener was told of. Makes the ring, if there is none of its encoding.
pub(crate) fn set_up(
    (sender, listener): (&mut Peer, &mut Peer),
    feed: u64,
    (encoding, makes_ring): (Encoding, bool),
) -> Feed {
    listener.send(FeedToBroker::Take { feed, encoding });
    let made = makes_ring.then(|| sender.makes_ring());
    let read = match listener.next() {
        Some((ToPlugin::Feed(FeedToPlugin::Follow { feed: told, .. }), files)) if told == feed => {
            files
        }
        other => panic!("nothing to follow: {other:?}"),
    };
    listener.send(FeedToBroker::Following { feed });
    let (ring, files) = match sender.next() {
        Some((ToPlugin::Source(SourceToPlugin::Listen { ring, .. }), files)) => (ring, files),
        other => panic!("nobody listens: {other:?}"),
    };
    sender.send(SourceToBroker::Heard {
        feed,
        position: 0,
        number: 0,
    });
    let start = FeedToPlugin::Start {
        feed,
        position: 0,
        number: 0,
    };
    assert_eq!(listener.record(), start.into());
    Feed {
        feed,
        ring,
        written: made,
        read,
        listener: files,
    }
}
