//! Beginning and ending: places in memberships, rings, and the source itself.

use callgate_layout::{Code, Encoding};

use super::super::Settings;
use super::event;
use super::scene::{Ear, HERE, Heard, Scene, settings};
use crate::base::error::Error;

const NEXT: u64 = 2;

#[test]
fn a_source_that_ends_says_so_behind_its_last_event() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    ear.status.park(&ear.bell);
    scene.send(1, "last").unwrap();
    let reason = Error::new(Code::PermissionDenied, "no more");
    scene.source.end(&reason);
    assert_eq!(ear.peer.bell.value(), 1, "who sleeps is woken");
    assert_eq!(ear.take_all(), [Heard::Event(0, event(1, "last"))]);
    assert_eq!(ear.take(), Heard::Closed);
    let error = scene.send(2, "more").unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::PermissionDenied, "no more")
    );
    let (sent, outcome) = scene
        .source
        .send_all([event(2, "more")].iter().map(super::Typed));
    assert_eq!(
        (sent, outcome.unwrap_err().code()),
        (0, Code::PermissionDenied)
    );
    assert_eq!(scene.source.listeners(), 0);
}

/// Listeners that had not come to the new broker yet missed what was sent meanwhile, and those that had come heard
/// it twice.
#[test]
fn a_source_writes_for_both_brokers_under_the_same_numbers() {
    let scene = Scene::new(settings());
    let old = scene.ring((HERE, 1), Encoding::Archive);
    let mut before = Ear::new(&scene, &old, (1, false));
    scene.send(0, "one").unwrap();
    scene.place(NEXT);
    // Each broker numbers rings by itself.
    let new = scene.ring((NEXT, 1), Encoding::Archive);
    let mut after = Ear::new(&scene, &new, (1, false));
    scene.send(1, "both").unwrap();
    assert_eq!(after.start.1, 1);
    assert_eq!(scene.source.listeners(), 1, "it is the same one");
    assert!(scene.source.is_heard(HERE) && scene.source.is_heard(NEXT));
    before.status.cursor(3).leave();
    assert!(!scene.source.is_heard(HERE) && scene.source.is_heard(NEXT));
    scene.source.leave(HERE);
    scene.send(2, "new").unwrap();
    let expected = [(0, "one"), (1, "both")];
    let expected = expected.map(|(n, text)| Heard::Event(u64::from(n), event(n, text)));
    assert_eq!(before.take_all(), expected);
    assert_eq!(before.take(), Heard::Closed);
    let expected = [(1, "both"), (2, "new")];
    let expected = expected.map(|(n, text)| Heard::Event(u64::from(n), event(n, text)));
    assert_eq!(after.take_all(), expected);
}

#[test]
fn a_history_goes_on_at_the_next_broker() {
    let scene = Scene::new(Settings {
        history: 2,
        ..settings()
    });
    scene.ring((HERE, 1), Encoding::Archive);
    (0..5).for_each(|number| scene.send(number, "kept").unwrap());
    scene.place(NEXT);
    assert!(scene.source.is_heard(HERE), "it has the history");
    let new = scene.ring((NEXT, 1), Encoding::Archive);
    assert!(!scene.source.is_heard(HERE));
    scene.source.leave(HERE);
    let mut ear = Ear::new(&scene, &new, (1, false));
    scene.send(5, "new").unwrap();
    let expected = [(3, "kept"), (4, "kept"), (5, "new")];
    let expected = expected.map(|(n, text)| Heard::Event(u64::from(n), event(n, text)));
    assert_eq!(ear.take_all(), expected);
}

#[test]
fn a_ring_that_nobody_reads_is_written_no_more() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let ear = Ear::new(&scene, &ring, (1, false));
    scene.send(0, "heard").unwrap();
    scene.source.unlisten(ring.key, ear.feed);
    scene.source.drop_ring(ring.key);
    (0..10).for_each(|number| scene.send(number, "not heard").unwrap());
    // The numbers continue.
    let ring = scene.ring((HERE, 2), Encoding::Archive);
    assert_eq!(Ear::new(&scene, &ring, (2, false)).start, (0, 1));
}

/// Both rings have one topic word. Dropping one ring disarmed the word, so listeners that slept at the other ring
/// were never woken.
#[test]
fn who_sleeps_at_one_ring_hears_events_after_the_other_one_was_dropped() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let twin = scene.ring((HERE, 2), Encoding::Json);
    let mut sleeps = Ear::new(&scene, &ring, (1, false));
    scene.send(0, "both").unwrap();
    assert_eq!(sleeps.take_all().len(), 1);
    sleeps.status.park(&sleeps.bell);
    scene.doorbell.arm(0);
    scene.source.drop_ring(twin.key);
    scene.send(1, "one").unwrap();
    assert_ne!(sleeps.peer.bell.value(), 0, "nobody wakes it");
    assert_eq!(sleeps.take_all(), [Heard::Event(1, event(1, "one"))]);
}
