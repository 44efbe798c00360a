//! A watch of a tag reports when a share comes, changes and goes.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use callgate_client::ShareEvent;
use callgate_tests::shares::Content;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, programs};

use crate::scene::{holder, listed, patient, users};

const TAG: &str = "Watched.Table";

fn content(number: u64) -> Content {
    Content::new(TAG, number, 4096)
}

#[test]
fn who_watches_a_tag_is_told_when_it_comes_changes_and_goes() {
    let bus = Bus::start(programs!());
    let (maker, onlooker) = (bus.plugin("maker"), bus.plugin("onlooker"));
    let (sender, events) = mpsc::channel();
    let watch = onlooker.shares().watch(TAG, move |event: ShareEvent| {
        let _ = sender.send(event);
    });
    let watch = watch.expect("it watches");
    let next = || events.recv_timeout(PATIENCE).expect("an event");
    // States in between may be left out; the last state is reported.
    let until = |is_it: fn(&ShareEvent) -> bool| while !is_it(&next()) {};
    let made = patient(&maker)
        .get_or_create(TAG, || content(1))
        .expect("made");
    until(|event| matches!(event, ShareEvent::Here { version: 1, .. }));
    let newer = patient(&maker)
        .publish(TAG, &content(2))
        .expect("published");
    until(|event| matches!(event, ShareEvent::Here { version: 2, .. }));
    // A watcher is no user.
    assert_eq!(users(&maker, TAG), ["maker"]);
    drop((made, newer));
    until(|event| matches!(event, ShareEvent::Gone));
    let _again = patient(&maker)
        .get_or_create(TAG, || content(3))
        .expect("made");
    until(|event| matches!(event, ShareEvent::Here { .. }));
    drop(watch);
    // A report that was on its way may still come.
    thread::sleep(Duration::from_millis(100));
    while events.try_recv().is_ok() {}
    patient(&maker)
        .publish(TAG, &content(4))
        .expect("published");
    assert!(events.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn who_watches_is_told_by_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let mut maker = holder(&bus, "maker");
    let onlooker = bus.plugin("onlooker");
    let (sender, events) = mpsc::channel();
    let watch = onlooker.shares().watch(TAG, move |event: ShareEvent| {
        let _ = sender.send(event);
    });
    let _watch = watch.expect("it watches");
    let until = |is_it: fn(&ShareEvent) -> bool| {
        while !is_it(&events.recv_timeout(PATIENCE).expect("an event")) {}
    };
    assert_eq!(maker.ask(&format!("make {TAG} 1 100")), "1");
    until(|event| matches!(event, ShareEvent::Here { version: 1, .. }));
    bus.restart_broker();
    let broker = bus.broker.as_ref().expect("it runs").id().to_string();
    await_that("the maker is back", || maker.ask("broker x") == broker);
    assert_eq!(maker.ask(&format!("publish {TAG} 2 100")), "2");
    until(|event| matches!(event, ShareEvent::Here { version: 2, .. }));
    maker.kill();
    until(|event| matches!(event, ShareEvent::Gone));
    assert!(listed(&onlooker).is_empty());
}
