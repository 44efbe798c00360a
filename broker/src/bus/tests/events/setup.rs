//! The order in which a feed is set up.

use super::*;

/// Numbers are given in this order: the source, the feed, its ring.
const SOURCE: u64 = 1;
const FEED: u64 = 2;
const RING: u64 = 3;

fn take() -> FeedToBroker {
    FeedToBroker::Take {
        feed: FEED,
        encoding: Encoding::Archive,
    }
}

fn heard() -> SourceToBroker {
    SourceToBroker::Heard {
        feed: FEED,
        position: 64,
        number: 3,
    }
}

/// A feed that is told of its ring before that is sealed could see it shrink; one that starts before its source knows
/// of it misses events.
#[test]
fn a_feed_is_set_up_step_by_step() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    assert_eq!(world.news(), of([(A, "Offered")]));
    world.ok(B, subscribe(4, TOPIC));
    assert_eq!(world.news(), of([(B, "Found")]));
    world.ok(B, take());
    let effects = world.effects();
    let [
        Effect::MakeRing {
            to: A,
            ring: RING,
            len,
            record:
                SourceToPlugin::MakeRing {
                    request: 1,
                    encoding: Encoding::Archive,
                    ..
                },
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}");
    };
    assert_eq!(*len, (256 << 10) + 4096);
    world.ok(A, SourceToBroker::RingMade { ring: RING });
    let sealing = Effect::Seal(A, AnyMemory::Ring(RING));
    assert_eq!(world.effects(), [sealing]);
    world.bus.memory_sealed(AnyMemory::Ring(RING), world.now);
    let record = FeedToPlugin::Follow {
        feed: FEED,
        cursor: 0,
        len: *len,
        word: 5,
    };
    let follow = Effect::Follow {
        to: B,
        ring: RING,
        sender: A,
        record,
    };
    assert_eq!(world.effects(), [follow]);
    world.ok(B, FeedToBroker::Following { feed: FEED });
    assert_eq!(world.news(), of([(A, "Listen")]));
    world.ok(A, heard());
    let start = FeedToPlugin::Start {
        feed: FEED,
        position: 64,
        number: 3,
    };
    let subscribed = FeedToPlugin::Subscribed { request: 104 };
    let told = [start, subscribed].map(|record| Effect::Send(B, record.into()));
    assert_eq!(world.effects(), told);
    assert_eq!(world.bus.next_deadline(), None);
    let close = SourceToBroker::Close {
        request: 2,
        topic: TOPIC.into(),
    };
    world.ok(A, close);
    let told = of([(A, "(let"), (B, "Ended"), (A, "Answer")]);
    assert_eq!(world.news(), told);
    assert_eq!(SOURCE, 1);
}
