//! Rings of events as files: which plugin gets which, which one allocates them, and until when they are charged.

use std::os::fd::AsFd;
use std::time::Duration;

use callgate::BusLimits;
use callgate::listing::{SubscriberEntry, TopicEntry};
use callgate_layout::control::{
    Failure, FeedToBroker, FeedToPlugin, SourceToBroker, SourceToPlugin, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::events::{Kind, RingWriter};
use callgate_layout::pages::Status;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::WriteView;
use callgate_layout::{Code, Encoding, Encodings};

use crate::support::events::{Feed, offer, set_up, subscribe};
use crate::support::{Bus, Peer, bus, bus_with, code_of, eventually, inode};

const LEN: usize = (1 << 20) + 4096;

/// A sender and a listener with a feed of archives, in a ring of 1 MiB.
fn listening(bus: &Bus) -> (Peer, Peer, Feed) {
    let (mut sender, mut listener) = (bus.plugin("sender"), bus.plugin("listener"));
    sender.offers(offer("topic"));
    listener.send(subscribe(3, "topic", Encodings::BOTH));
    let feed = listener.found();
    let feed = set_up(
        (&mut sender, &mut listener),
        feed,
        (Encoding::Archive, true),
    );
    let subscribed = FeedToPlugin::Subscribed { request: 3 };
    assert_eq!(listener.record(), subscribed.into());
    (sender, listener, feed)
}

fn unsubscribe(listener: &Peer) {
    listener.send(FeedToBroker::Unsubscribe { subscription: 3 });
}

/// A listener that could write the ring would speak for its sender, to all listeners.
#[test]
fn each_side_gets_what_it_needs_and_no_more() {
    let bus = bus();
    let (sender, listener, mut feed) = listening(&bus);
    let (written, _) = feed.written.take().unwrap();
    let [ring, doorbell, process] = &feed.read[..] else {
        panic!("{:?}", feed.read);
    };
    assert_eq!(inode(ring), inode(&written));
    assert_eq!(inode(doorbell), inode(&sender.pages[0]));
    assert!(!callgate_layout::sys::process::has_ended(process.as_fd()));
    let [status, doorbell, process] = &feed.listener[..] else {
        panic!("{:?}", feed.listener);
    };
    assert_eq!(inode(status), inode(&listener.pages[1]));
    assert_eq!(inode(doorbell), inode(&listener.pages[0]));
    assert!(!callgate_layout::sys::process::has_ended(process.as_fd()));
    assert!(Mapping::read_only(ring.try_clone().unwrap(), LEN).is_ok());
    let writable = [ring, status].map(|file| Mapping::writable(file.try_clone().unwrap(), LEN));
    assert!(writable.iter().all(Result::is_err));
    let again = memfd::reopen(ring.as_fd(), true).and_then(|file| Mapping::writable(file, LEN));
    assert!(again.is_err(), "it is sealed");
}

/// Where memory is short, a ring that its sender has not allocated would get its readers killed.
#[test]
fn who_does_not_allocate_is_sent_away() {
    for allocated in [0, LEN - 4096] {
        let bus = bus();
        let (mut sender, mut listener) = (bus.plugin("sender"), bus.plugin("listener"));
        sender.offers(offer("topic"));
        listener.send(subscribe(3, "topic", Encodings::BOTH));
        let feed = listener.found();
        let encoding = Encoding::Archive;
        listener.send(FeedToBroker::Take { feed, encoding });
        let (ring, _, file) = sender.ring();
        if allocated > 0 {
            memfd::allocate(file.as_fd(), allocated).unwrap();
        }
        sender.send(SourceToBroker::RingMade { ring });
        let failure = sender.ended();
        assert_eq!(code_of(&failure), Code::Protocol);
        let says = format!("it allocated {allocated}");
        assert!(failure.message.contains(&says), "{failure:?}");
        let (ended, failure) = listener.feed_ended();
        assert_eq!((ended, code_of(&failure)), (feed, Code::ProviderGone));
        assert!(failure.message.contains("`sender`"), "{failure:?}");
        assert_eq!(
            listener.record(),
            FeedToPlugin::Subscribed { request: 3 }.into()
        );
    }
}

/// A sender that seals the ring first could keep the broker from sealing it against other writers.
#[test]
fn who_seals_its_ring_first_is_sent_away() {
    let bus = bus();
    let mut sender = bus.plugin("sender");
    sender.send(with_history("topic", 5));
    let (ring, len, file) = sender.ring();
    memfd::allocate(file.as_fd(), len as usize).unwrap();
    memfd::seal_seals(file.as_fd()).unwrap();
    sender.send(SourceToBroker::RingMade { ring });
    let failure = sender.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("sealed its ring"), "{failure:?}");
}

fn with_history(topic: &str, events: u32) -> SourceToBroker {
    let mut offer = offer(topic);
    if let SourceToBroker::Offer { history, .. } = &mut offer {
        *history = events;
    }
    offer
}

/// A sender could have any amount of memory if its listeners keep old rings.
#[test]
fn a_ring_is_charged_until_nobody_holds_it() {
    let limits = BusLimits {
        extent_mib: 2,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    let (mut sender, mut listener, mut feed) = listening(&bus);
    let map = Mapping::read_only(feed.read.remove(0), LEN).unwrap();
    drop(feed.written.take());
    unsubscribe(&listener);
    let ring = feed.ring;
    let unlisten = SourceToPlugin::Unlisten {
        ring,
        feed: feed.feed,
    };
    assert_eq!(sender.record(), unlisten.into());
    assert_eq!(sender.record(), SourceToPlugin::DropRing { ring }.into());
    // One MiB of two is still held, which is half.
    let refused = take_anew(&mut sender, &mut listener);
    assert_eq!(refused.as_ref().map(code_of), Some(Code::Overloaded));
    let refused = refused.unwrap();
    assert!(refused.message.contains("still held"), "{refused:?}");
    drop(map);
    eventually("the memory is free", || {
        take_anew(&mut sender, &mut listener).is_none()
    });
}

/// Takes a new feed and leaves it again. Returns the failure if there is none.
fn take_anew(sender: &mut Peer, listener: &mut Peer) -> Option<Failure> {
    listener.send(subscribe(3, "topic", Encodings::BOTH));
    let feed = listener.found();
    let encoding = Encoding::Archive;
    listener.send(FeedToBroker::Take { feed, encoding });
    let step = Duration::from_millis(5);
    // One of the two plugins is told.
    let refused = loop {
        if let Ok(ended) = listener.next_within(step) {
            let Some((ToPlugin::Feed(FeedToPlugin::Ended { failure, .. }), _)) = ended else {
                panic!("{ended:?}");
            };
            let subscribed = FeedToPlugin::Subscribed { request: 3 };
            assert_eq!(listener.record(), subscribed.into());
            break Some(failure);
        }
        if let Ok(made) = sender.next_within(step) {
            let Some((ToPlugin::Source(SourceToPlugin::MakeRing { ring, len, .. }), files)) = made
            else {
                panic!("{made:?}");
            };
            memfd::allocate(files[0].as_fd(), len as usize).unwrap();
            sender.send(SourceToBroker::RingMade { ring });
            listener.record();
            break None;
        }
    };
    unsubscribe(listener);
    refused
}

/// A ring is sent only to its sender and its listeners.
#[test]
fn two_listeners_have_one_ring_and_a_third_the_twin() {
    let bus = bus();
    let (mut sender, mut listener, feed) = listening(&bus);
    let mut other = bus.plugin("other");
    other.send(subscribe(1, "topic", Encodings::ARCHIVE));
    let found = other.found();
    let second = set_up((&mut sender, &mut other), found, (Encoding::Archive, false));
    assert_eq!(inode(&second.read[0]), inode(&feed.read[0]));
    let mut third = bus.plugin("third");
    third.send(subscribe(1, "topic", Encodings::JSON));
    let found = third.found();
    let twin = set_up((&mut sender, &mut third), found, (Encoding::Json, true));
    assert_ne!(inode(&twin.read[0]), inode(&feed.read[0]));
    let len = nix::sys::stat::fstat(&twin.read[0]).unwrap().st_size;
    assert_eq!(len, (4 << 20) + 4096);
    drop(sender);
    for (peer, feed) in [(&mut listener, feed.feed), (&mut other, second.feed)] {
        if let ToPlugin::Feed(FeedToPlugin::Subscribed { .. }) = peer_next(peer, feed) {
            peer_next(peer, feed);
        }
    }
}

/// The next record, which is `Subscribed`, or the end of a feed whose sender has ended.
fn peer_next(peer: &mut Peer, expected: u64) -> ToPlugin {
    let record = peer.record();
    match &record {
        ToPlugin::Feed(FeedToPlugin::Subscribed { .. }) => {}
        ToPlugin::Feed(FeedToPlugin::Ended { feed, failure }) => {
            assert_eq!((*feed, code_of(failure)), (expected, Code::ProviderGone));
        }
        other => panic!("{other:?}"),
    }
    record
}

/// Which listeners are slow, and which lose events, is shown nowhere else.
#[test]
fn a_listing_shows_how_far_each_listener_is() {
    let bus = bus();
    let (mut sender, mut listener, mut feed) = listening(&bus);
    assert_eq!(sender.provide("topic", CallKind::Function, 7), None);
    let (_, ring) = feed.written.take().unwrap();
    let mut ring = RingWriter::new(WriteView::new(ring).unwrap(), 0);
    for time in 0..7 {
        ring.push(Kind::Event, time, b"hello");
    }
    ring.publish();
    let page = WriteView::new(listener.status.take().unwrap()).unwrap();
    let status = Status::new(page);
    status.cursor(0).handled(64, 3);
    status.cursor(0).count_lost(2);
    let mut other = bus.plugin("other");
    other.offers({
        let mut offer = with_history("open", 5);
        if let SourceToBroker::Offer { open, history, .. } = &mut offer {
            (*open, *history) = (true, 0);
        }
        offer
    });
    let listing = bus.broker.snapshot().unwrap();
    let entry = |gate: &str, sender: &str, open| TopicEntry {
        gate: gate.into(),
        sender: sender.into(),
        open,
        signature: "(u32)".into(),
        head: 0,
        capacity_bytes: 1 << 20,
        history: 0,
        json_twin: false,
        lost: 0,
        subscribers: Vec::new(),
    };
    let heard = TopicEntry {
        head: 7,
        lost: 2,
        subscribers: vec![SubscriberEntry {
            plugin: "listener".into(),
            lag: 4,
            evictions: 1,
            lost: 2,
        }],
        ..entry("topic", "sender", false)
    };
    assert_eq!(listing.topics, [entry("open", "other", true), heard]);
    // The listener has not opened the gate, but has subscribed to its events.
    assert_eq!(listing.gates[0].subscribers, 1);
}

/// Numbers that a listener can write must be taken for numbers only.
#[test]
fn a_listing_takes_no_harm_from_what_it_reads() {
    let bus = bus();
    let (_sender, mut listener, _feed) = listening(&bus);
    let page = WriteView::new(listener.status.take().unwrap()).unwrap();
    let status = Status::new(page);
    status.cursor(0).handled(u64::MAX, u64::MAX);
    status.cursor(0).count_lost(u64::MAX);
    let listing = bus.broker.snapshot().unwrap();
    let topic = &listing.topics[0];
    assert_eq!((topic.head, topic.lost), (0, u64::MAX));
    assert_eq!(topic.subscribers[0].lag, 0);
}
