//! Feeds on rings that a test writes.

use std::sync::Arc;

use callgate_layout::events::{Kind, RingWriter, ring_len};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN, Status};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Code, Encoding};
use parking_lot::Mutex;

use super::*;
use crate::base::error::Error;
use crate::events::handlers::OfBytes;
use crate::events::registered::Registered;
use crate::link::own_memory::{OwnDoorbell, OwnMemory};
use crate::link::peer::Caller;

const CAPACITY: u32 = 64 << 10;

fn page(len: usize) -> (WriteView, ReadView) {
    let file = memfd::create("test", len).unwrap();
    let read = ReadView::new(Mapping::read_only(file.try_clone().unwrap(), len).unwrap());
    (
        WriteView::new(Mapping::writable(file, len).unwrap()).unwrap(),
        read,
    )
}

struct Nobody;

impl Wakes for Nobody {
    fn wake(&self) {}
}

/// Runs handlers as if it were always their turn.
struct Free;

impl Runner for Free {
    fn run(&mut self, mut work: impl FnMut(u64) -> bool) {
        while work(1) {}
    }
}

/// A source's ring at one broker, and what the feed knows of it.
struct Ring {
    writer: RingWriter,
    memory: ReadView,
    end: Arc<End>,
}

fn ring(first: u64) -> Ring {
    let (write, memory) = page(ring_len(CAPACITY) as usize);
    Ring {
        writer: RingWriter::new(write, first),
        memory,
        end: Arc::default(),
    }
}

struct Scene {
    feed: Feed,
    memory: Arc<OwnMemory>,
    told: Arc<Mutex<Vec<String>>>,
    next: u16,
}

fn scene() -> Scene {
    let who = Caller {
        name: "Sender".to_owned(),
        display_name: String::new(),
        version: String::new(),
        pid: 1,
        plugin: 2,
    };
    let about = Arc::new(Sending {
        topic: "T".into(),
        sender: Arc::new(who),
    });
    let (told, handlers) = (
        Arc::<Mutex<Vec<String>>>::default(),
        Arc::new(Handlers::new()),
    );
    let (events, notices) = (told.clone(), told.clone());
    let handler = move |event: EventContext<'_>, _, bytes: &[u8]| {
        events.lock().push(format!(
            "{}:{}",
            event.number(),
            String::from_utf8_lossy(bytes)
        ));
        Ok(())
    };
    let on_notice = move |notice: &EventNotice| {
        let note = match notice {
            EventNotice::Here { .. } => "here".to_owned(),
            EventNotice::Lost { count, .. } => format!("lost {count}"),
            EventNotice::Gone { why, .. } => format!("gone {}", why.code()),
            other => format!("{other:?}"),
        };
        notices.lock().push(note);
    };
    handlers.add(&Registered::new(
        Box::new(OfBytes(handler)),
        Some(Arc::new(on_notice)),
    ));
    let (doorbell, status) = (page(DOORBELL_LEN).0, page(STATUS_LEN).0);
    Scene {
        feed: Feed::new((about, Some(7)), (handlers, Arc::new(Nobody)), None),
        memory: Arc::new(OwnMemory::new(
            OwnDoorbell::new(doorbell),
            Status::new(status),
        )),
        told,
        next: 0,
    }
}

impl Scene {
    /// Has the feed begin at a place in a ring.
    fn start(&mut self, ring: &Ring, membership: u64, (position, number): (u64, u64)) {
        self.next += 1;
        let parts = PlaceParts {
            membership,
            memory: self.memory.clone(),
            cursor: self.memory.cursors.take(self.next).unwrap(),
            sender: Arc::new(Sender {
                who: self.feed.about.sender.clone(),
                bell: Doorbell::new(page(DOORBELL_LEN).0),
            }),
            word: 0,
            encoding: Encoding::Archive,
            is_converted: false,
            end: ring.end.clone(),
        };
        let place = Place::new(parts, ring.memory.clone(), (position, number)).unwrap();
        assert!(self.feed.bring(Incoming::Place(Box::new(place))).is_none());
    }

    /// Takes everything that is there. Returns what the handlers were told since the last call.
    fn take(&self) -> Vec<String> {
        for _ in 0..1000 {
            if !self.feed.take(16, &mut Free).is_more {
                break;
            }
        }
        std::mem::take(&mut self.told.lock())
    }
}

fn send(rings: &mut [&mut Ring], text: &str) {
    for ring in rings {
        let needed = ring.writer.needed(text.len());
        assert!(ring.writer.has_room(text.len()) || ring.writer.forget(needed, needed + 4096));
        ring.writer.push(Kind::Event, 1, text.as_bytes());
        ring.writer.publish();
    }
}

#[test]
fn events_of_two_brokers_are_had_once_and_the_older_ring_is_dropped() {
    let (mut scene, mut old) = (scene(), ring(0));
    scene.start(&old, 1, (0, 0));
    send(&mut [&mut old], "a");
    assert_eq!(scene.take(), ["here", "0:a"]);
    let mut new = ring(1);
    send(&mut [&mut old, &mut new], "b");
    scene.start(&new, 2, (0, 1));
    send(&mut [&mut old, &mut new], "c");
    assert_eq!(scene.take(), ["1:b", "2:c"]);
    // The first look at the newer ring skips the events that were already taken.
    send(&mut [&mut new], "d");
    assert_eq!(scene.take(), ["3:d"]);
    assert_eq!(Arc::strong_count(&old.end), 1, "the older place is kept");
}

#[test]
fn what_lies_between_two_rings_is_told() {
    let (mut scene, mut old) = (scene(), ring(0));
    scene.start(&old, 1, (0, 0));
    send(&mut [&mut old], "a");
    assert_eq!(scene.take(), ["here", "0:a"]);
    let mut new = ring(5);
    send(&mut [&mut new], "f");
    scene.start(&new, 2, (0, 5));
    old.end
        .set(&Error::new(Code::BrokerGone, "the test says so"));
    assert_eq!(scene.take(), ["lost 4", "5:f"]);
}

#[test]
fn a_feed_that_is_too_slow_is_told_how_much_it_has_lost() {
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 0));
    assert_eq!(scene.take(), ["here"]);
    let text = "x".repeat(1000);
    (0..200).for_each(|_| send(&mut [&mut one], &text));
    let told = scene.take();
    let lost: usize = told[0].strip_prefix("lost ").unwrap().parse().unwrap();
    assert_eq!(lost + told.len() - 1, 200);
    assert!(told[1].starts_with(&format!("{lost}:")));
}

#[test]
fn what_was_published_is_taken_before_the_end_is_told() {
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 0));
    (0..40).for_each(|_| send(&mut [&mut one], "a"));
    one.end
        .set(&Error::new(Code::ProviderGone, "the test says so"));
    let told = scene.take();
    assert_eq!((told.len(), told[40].as_str()), (42, "39:a"));
    assert_eq!(told[41], "gone PROVIDER_GONE");
    assert!(!scene.feed.has_next() && scene.feed.is_over());
}

/// The events that were left of an overwritten ring were skipped, and not counted as lost.
#[test]
fn what_is_left_of_a_ring_that_was_written_over_is_taken_before_the_end_is_told() {
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 0));
    let text = "x".repeat(1000);
    (0..200).for_each(|_| send(&mut [&mut one], &text));
    one.end
        .set(&Error::new(Code::ProviderGone, "the test says so"));
    let told = scene.take();
    let lost: usize = told[1].strip_prefix("lost ").unwrap().parse().unwrap();
    let taken = &told[2..told.len() - 1];
    assert_eq!(lost + taken.len(), 200);
    assert_eq!(taken.last().unwrap(), &format!("199:{text}"));
    assert_eq!(told.last().unwrap(), "gone PROVIDER_GONE");
    assert!(scene.feed.is_over());
}

#[test]
fn a_source_that_lies_is_heard_no_more() {
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 3));
    send(&mut [&mut one], "a");
    assert_eq!(scene.take(), ["here", "gone PROTOCOL"]);
    assert!(scene.feed.is_over());
}

#[test]
fn places_of_a_membership_that_is_over_are_dropped() {
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 0));
    send(&mut [&mut one], "a");
    assert_eq!(scene.take(), ["here", "0:a"]);
    scene.feed.cut(1);
    send(&mut [&mut one], "b");
    assert_eq!(scene.take(), ["gone BROKER_GONE"]);
}

/// With three brokers in a row, the events between the second ring and the first were lost without notice.
#[test]
fn what_lies_before_the_second_of_three_rings_is_told() {
    let (mut scene, old) = (scene(), ring(0));
    scene.start(&old, 1, (0, 0));
    assert_eq!(scene.take(), ["here"]);
    let (mut second, third) = (ring(5), ring(6));
    send(&mut [&mut second], "f");
    scene.start(&second, 2, (0, 5));
    scene.start(&third, 3, (0, 6));
    scene.feed.cut(1);
    assert_eq!(scene.take(), ["lost 5", "5:f"]);
}

/// If the dispatcher looked at the feed at that moment, the feed's position was forgotten, and a source that came
/// back with a history was heard twice.
#[test]
fn how_far_a_feed_came_is_known_also_while_somebody_looks_at_it() {
    let (mut scene, mut one) = (scene(), ring(3));
    scene.start(&one, 1, (0, 3));
    send(&mut [&mut one], "a");
    one.end
        .set(&Error::new(Code::ProviderGone, "the test says so"));
    assert_eq!(scene.feed.reached(), None);
    assert_eq!(scene.take(), ["here", "3:a", "gone PROVIDER_GONE"]);
    let held = scene.feed.hold();
    assert!(held.is_some() && scene.feed.is_over());
    assert_eq!(scene.feed.reached(), Some(4));
}

/// If the control thread left something at that moment, the end was not told.
#[test]
fn the_end_is_told_whatever_the_control_thread_does_meanwhile() {
    for _ in 0..300 {
        let (mut scene, mut one) = (scene(), ring(0));
        scene.start(&one, 1, (0, 0));
        send(&mut [&mut one], "a");
        assert_eq!(scene.take(), ["here", "0:a"]);
        one.end
            .set(&Error::new(Code::ProviderGone, "the test says so"));
        let is_over = AtomicBool::new(false);
        let told = std::thread::scope(|scope| {
            let (feed, is_over) = (&scene.feed, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    feed.cut(0);
                }
            });
            let mut told = Vec::new();
            while !feed.is_over() {
                told.extend(scene.take());
            }
            is_over.store(true, Ordering::Relaxed);
            told
        });
        assert_eq!(told, ["gone PROVIDER_GONE"]);
    }
}

/// A feed whose right to hear the source was revoked went on for as long as the source had another event each time.
#[test]
fn a_feed_that_has_ended_takes_nothing_that_is_sent_after_that() {
    struct Sends<'a>(&'a mut Ring);
    impl Runner for Sends<'_> {
        fn run(&mut self, mut work: impl FnMut(u64) -> bool) {
            let mut goes_on = true;
            while goes_on {
                send(&mut [self.0], "x");
                goes_on = work(1);
            }
        }
    }
    let (mut scene, mut one) = (scene(), ring(0));
    scene.start(&one, 1, (0, 0));
    assert_eq!(scene.take(), ["here"]);
    send(&mut [&mut one], "a");
    one.end
        .set(&Error::new(Code::PermissionDenied, "the test says so"));
    scene.feed.take(16, &mut Sends(&mut one));
    assert_eq!(scene.take(), ["0:a", "1:x", "gone PERMISSION_DENIED"]);
    assert!(scene.feed.is_over());
    assert_eq!(Arc::strong_count(&one.end), 1, "the ring is kept");
}
