//! Senders and listeners of events that have no descriptors for each other for a moment.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{EventNotice, Events, Received, TopicOptions};
use callgate_tests::shorthand::await_that;
use callgate_tests::{PATIENCE, proc};

use crate::{bus, cramped, expect_short, tell};

type Pulled = Events<(u32,)>;

/// The next event or notice from a sender.
fn next(events: &mut Pulled) -> Received<(u32,)> {
    let next = events.next(2 * PATIENCE).expect("the plugin is there");
    next.expect("it is told")
}

/// A sender without descriptors tells the broker that it could not map a listener. The subscription does not wait for
/// five seconds, and the sender is heard when it has descriptors again, however often that happens.
#[test]
fn a_sender_without_descriptors_is_heard_when_it_has_some() {
    let bus = bus();
    let mut sender = cramped(&bus);
    tell(&mut sender, "connect S");
    tell(&mut sender, "topic S.Changed");
    // This subscriber makes sure that there is a ring.
    let first = bus.plugin("First");
    let mut heard: Pulled = first.events("S.Changed").unwrap();
    assert!(matches!(
        next(&mut heard),
        Received::Notice(EventNotice::Here { .. })
    ));
    tell(&mut sender, "spare 0");
    let listener = bus.plugin("Listener");
    let began = Instant::now();
    let mut all: Vec<Pulled> = (0..70)
        .map(|_| listener.events("S.Changed").unwrap())
        .collect();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    for events in &mut all {
        match next(events) {
            Received::Notice(EventNotice::Failed { why, .. }) => {
                assert!(why.message().contains("RLIMIT_NOFILE"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Meanwhile nobody spins, although the broker tries again.
    let before = proc::ticks(sender.id());
    thread::sleep(Duration::from_millis(1500));
    let ticks = proc::ticks(sender.id()) - before;
    assert!(ticks < 50, "it used {ticks} hundredths of a second");
    tell(&mut sender, "send 1");
    assert_eq!(next(&mut heard).event().unwrap().values, (1,));
    tell(&mut sender, "free");
    for events in &mut all {
        loop {
            match next(events) {
                Received::Notice(EventNotice::Failed { .. }) => {}
                Received::Notice(EventNotice::Here { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
    }
    tell(&mut sender, "send 2");
    for events in &mut all {
        assert_eq!(next(events).event().unwrap().values, (2,));
    }
}

/// A listener without descriptors hears the topic when it has some again, without subscribing anew.
#[test]
fn a_listener_without_descriptors_hears_when_it_has_some() {
    let bus = bus();
    let mut listener = cramped(&bus);
    tell(&mut listener, "connect L");
    let sender = bus.plugin("Sender");
    let topic = sender.topic::<(u32,)>("Sender.Changed").unwrap();
    for round in 1..4 {
        tell(&mut listener, "spare 0");
        tell(&mut listener, "listen Sender.Changed");
        topic.send(&(100,)).unwrap();
        assert_eq!(topic.subscription_count(), 0, "{round}");
        tell(&mut listener, "free");
        await_that("it is heard", || topic.subscription_count() == 1);
        topic.send(&(round,)).unwrap();
        await_that("it hears", || listener.ask("heard") == round.to_string());
        tell(&mut listener, "deaf");
    }
}

/// The error names the resource that has run out.
#[test]
fn a_topic_that_keeps_a_history_needs_a_descriptor() {
    let bus = bus();
    let mut sender = cramped(&bus);
    tell(&mut sender, "connect S");
    tell(&mut sender, "spare 0");
    let answer = sender.ask("history S.Changed");
    expect_short(&answer, sender.id());
    tell(&mut sender, "free");
    tell(&mut sender, "history S.Changed");
}

/// An event for which there is no memory is taken when there is some. The dispatcher does not try without a pause,
/// and does not log each time.
#[test]
fn an_event_for_which_there_is_no_memory_is_taken_when_there_is_some() {
    const MOST: usize = 3 << 20;
    let bus = bus();
    let mut listener = cramped(&bus);
    tell(&mut listener, "connect L");
    let sender = bus.plugin("Sender");
    let options = TopicOptions::new().capacity(16 << 20);
    let topic = sender
        .topic_with::<(Vec<u8>,)>("Sender.Bytes", options)
        .unwrap();
    tell(&mut listener, "listen-bytes Sender.Bytes");
    topic.send(&(vec![1; 100],)).unwrap();
    await_that("it hears", || listener.ask("heard") == "100");
    tell(&mut listener, "space 0");
    let before = proc::ticks(listener.id());
    topic.send(&(vec![1; MOST],)).unwrap();
    thread::sleep(Duration::from_millis(1500));
    let ticks = proc::ticks(listener.id()) - before;
    assert!(ticks < 25, "it used {ticks} hundredths of a second");
    assert_eq!(listener.ask("heard"), "100");
    tell(&mut listener, "space all");
    await_that("it hears", || listener.ask("heard") == MOST.to_string());
}
