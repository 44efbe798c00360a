//! Watching a gate come and go.

use std::time::Duration;

use callgate_client::{Code, GateEvent, Watch};
use callgate_tests::{Bus, PATIENCE, programs};

fn next(watch: &Watch) -> GateEvent {
    let event = watch.next(PATIENCE).expect("the session lives");
    event.expect("something changed")
}

/// A watch reports every life of a gate in order, including one that ends and begins again between two looks.
#[test]
fn every_life_of_a_gate_is_seen_in_order() {
    let bus = Bus::start(programs!());
    let watcher = bus.plugin("Watcher");
    let watch = watcher.watch("Owner.Gate").unwrap();
    let first = next(&watch);
    assert_eq!((first.owner, first.generation), (None, 0));
    let mut before = 0;
    for name in ["Owner", "Other", "Owner"] {
        let owner = bus.plugin(name);
        let function = owner.provide("Owner.Gate", |n: u64| n).unwrap();
        let came = next(&watch);
        assert_eq!(came.owner.as_deref(), Some(name));
        assert!(came.has_function && !came.has_action);
        assert!(came.generation > before);
        let action = owner.provide_action("Owner.Gate", |_: u64| ()).unwrap();
        let both = next(&watch);
        assert!(both.has_function && both.has_action);
        assert_eq!(both.generation, came.generation);
        drop(function);
        assert!(!next(&watch).has_function);
        action.keep();
        drop(owner);
        let gone = next(&watch);
        assert!(!gone.is_present());
        assert_eq!(gone.generation, came.generation);
        before = came.generation;
    }
    assert_eq!(watch.next(Duration::from_millis(10)).unwrap(), None);
}

/// A watcher that does not read loses the oldest changes and can tell. Changes do not pile up in memory, and none is
/// reported twice.
#[test]
fn a_watcher_that_does_not_look_loses_the_oldest_and_can_tell() {
    let bus = Bus::start(programs!());
    let watcher = bus.plugin("Watcher");
    let watch = watcher.watch("Owner.Gate").unwrap();
    // A gate that goes before the watcher could have called it is not reported. So the test waits for each.
    let looks = watcher.watch("Owner.Gate").unwrap();
    assert!(!next(&looks).is_present());
    let owner = bus.plugin("Owner");
    for _ in 0..100 {
        let provided = owner.provide("Owner.Gate", || ()).unwrap();
        assert!(next(&looks).is_present());
        drop(provided);
        assert!(!next(&looks).is_present());
    }
    let _last = owner.provide("Owner.Gate", || ()).unwrap();
    assert!(next(&looks).is_present());
    // What the broker had to tell the watcher arrives before this answer.
    watcher.list().unwrap();
    let mut events = Vec::new();
    while let Some(event) = watch.next(Duration::ZERO).unwrap() {
        events.push(event);
    }
    assert_eq!(events.len(), 64);
    assert!(events.is_sorted_by_key(|event| event.generation));
    assert!(events.last().unwrap().is_present());
}

/// A watcher that waits for no other broker ends when its broker does.
#[test]
fn nobody_watches_without_a_broker() {
    let mut bus = Bus::start(programs!());
    let watcher = bus.mortal_plugin("Watcher");
    let watch = watcher.watch("Owner.Gate").unwrap();
    assert!(!next(&watch).is_present());
    bus.broker.take().unwrap().kill();
    let error = watch.next(PATIENCE).unwrap_err();
    assert_eq!(error.code(), Code::BrokerGone);
}
