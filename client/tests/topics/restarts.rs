//! Topics whose broker is replaced by another one.

use std::thread;
use std::time::Duration;

use callgate_client::{BrokerEvent, TopicOptions, TopicState};

use crate::scene::{Bus, Notes, PATIENCE, TOPIC, await_that, hear};

#[test]
fn every_event_is_heard_once_across_brokers() {
    let buses = [Bus::new(), Bus::new(), Bus::new()];
    let [sender, listener] = ["Sender", "Listener"].map(|name| buses[0].connect(name));
    let topic = sender.topic::<(u32,)>(TOPIC).unwrap();
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            (0..3_000).for_each(|n| {
                topic.send(&(n,)).unwrap();
                thread::sleep(Duration::from_micros(100));
            });
        });
        // Once the listener moves first, and once the sender.
        thread::sleep(Duration::from_millis(50));
        [&listener, &sender]
            .iter()
            .for_each(|plugin| buses[1].takes(plugin));
        thread::sleep(Duration::from_millis(50));
        [&sender, &listener]
            .iter()
            .for_each(|plugin| buses[2].takes(plugin));
        sending.join().unwrap();
    });
    let expected: Vec<u32> = (0..3_000).collect();
    let heard = notes.wait(3_000);
    assert!(heard == expected, "{:?}", first_difference(&heard));
    await_that("it is offered again", || topic.is_offered());
    topic.flush(PATIENCE).unwrap();
}

fn first_difference(heard: &[u32]) -> Option<(usize, u32)> {
    let mut heard = heard.iter().copied().enumerate();
    heard.find(|(at, n)| *at as u32 != *n)
}

#[test]
fn who_listens_goes_on_while_there_is_no_broker() {
    let bus = Bus::new();
    let [sender, listener] = ["Sender", "Listener"].map(|name| bus.connect(name));
    let topic = sender.topic::<(u32,)>(TOPIC).unwrap();
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    topic.send(&(0,)).unwrap();
    notes.wait(1);
    drop(bus);
    await_that("the broker is gone", || {
        matches!(topic.state(), TopicState::Away)
    });
    (1..1_000).for_each(|n| topic.send(&(n,)).unwrap());
    topic.flush(PATIENCE).unwrap();
    assert_eq!(notes.all(), (0..1_000).collect::<Vec<_>>());
    let next = Bus::new();
    [&sender, &listener]
        .iter()
        .for_each(|plugin| next.takes(plugin));
    await_that("it is offered again", || topic.is_offered());
    (1_000..2_000).for_each(|n| topic.send(&(n,)).unwrap());
    assert_eq!(notes.wait(2_000), (0..2_000).collect::<Vec<_>>());
}

#[test]
fn a_history_outlives_brokers() {
    let buses = [Bus::new(), Bus::new()];
    let sender = buses[0].connect("Sender");
    let options = TopicOptions::new().history(2);
    let topic = sender.topic_with::<(u32,)>(TOPIC, options).unwrap();
    (0..5).for_each(|n| topic.send(&(n,)).unwrap());
    buses[1].takes(&sender);
    await_that("it is offered again", || topic.is_offered());
    let listener = buses[1].connect("Listener");
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    topic.send(&(5,)).unwrap();
    assert_eq!(notes.wait(3)[..], [3, 4, 5]);
}

#[test]
fn a_topic_that_another_plugin_has_taken_comes_back_when_it_is_free() {
    let buses = [Bus::new(), Bus::new()];
    let sender = buses[0].connect("Sender");
    let topic = sender.topic::<(u32,)>(TOPIC).unwrap();
    let told = Notes::new();
    let tell = told.clone();
    sender.on_broker(move |event| match event {
        BrokerEvent::GateLost { gate, owner } => tell.add(format!("{gate} is {owner}'s")),
        BrokerEvent::GateBack { gate } => tell.add(format!("{gate} is back")),
        _ => {}
    });
    let other = buses[1].connect("Other");
    let others = other.topic::<(u32,)>(TOPIC).unwrap();
    buses[1].takes(&sender);
    assert_eq!(told.wait(1), ["Weather.Changed is Other's"]);
    assert!(matches!(topic.state(), TopicState::InLine { owner } if owner == "Other"));
    // Nobody hears this one.
    topic.send(&(1,)).unwrap();
    drop(others);
    assert_eq!(told.wait(2)[1], "Weather.Changed is back");
    assert!(topic.is_offered());
    let listener = buses[1].connect("Listener");
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    topic.send(&(2,)).unwrap();
    assert_eq!(notes.wait(1), [2]);
}
