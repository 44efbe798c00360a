//! `callgate listen` while senders and brokers end and come again.

use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, Process, programs};
use serde_json::json;

use super::{Listener, TOPIC};

/// When the sender is started again, the command goes on with it.
#[test]
fn it_goes_on_with_the_next_sender() {
    let bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, TOPIC, &[]);
    for round in 0..3 {
        let plugin = bus.plugin("Weather");
        let topic = plugin.topic::<(u32,)>(TOPIC).unwrap();
        assert_eq!(listener.notice("here")["sender"], "Weather");
        topic.send(&(round,)).unwrap();
        assert_eq!(listener.values(), json!([round]));
        drop(topic);
        let gone = listener.notice("gone");
        assert_eq!(gone["why"]["code"], "PROVIDER_GONE", "{gone}");
    }
}

/// The same with a sender that is killed: what it had sent is printed, and its end is reported.
#[test]
fn it_goes_on_after_a_sender_was_killed() {
    let bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, TOPIC, &[]);
    // This listener delays the end of senders, which wait for it.
    let slow = bus.plugin("Slow");
    let _never_taken = slow.events::<(u32,)>(TOPIC).unwrap();
    for n in 0..3_u32 {
        let emit = ["emit", TOPIC, &n.to_string(), "--timeout", "1h"];
        let sender = Process::spawn(bus.command(&emit));
        assert_eq!(listener.values(), json!([n]));
        sender.kill();
        listener.notice("gone");
    }
}

/// With the next broker the command hears events again, each once.
#[test]
fn it_goes_on_with_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, TOPIC, &[]);
    let plugin = bus.plugin("Weather");
    let topic = plugin.topic::<(u32,)>(TOPIC).unwrap();
    topic.send(&(0,)).unwrap();
    assert_eq!(listener.values(), json!([0]));
    for n in 1..4 {
        bus.kill_broker();
        listener.notice("broker-lost");
        topic.send(&(10 * n,)).unwrap();
        assert_eq!(listener.values(), json!([10 * n]));
        bus.start_broker();
        let pid = listener.notice("broker-back")["pid"].clone();
        assert_eq!(pid, bus.broker.as_ref().unwrap().id());
        await_that("the topic is offered again", || topic.is_offered());
        topic.send(&(10 * n + 1,)).unwrap();
        assert_eq!(listener.values(), json!([10 * n + 1]));
        // A sender that the last broker never saw.
        let late = bus.plugin("Late");
        let other = late.topic::<(u32,)>("Other").unwrap();
        let mut other_listener = Listener::start(&bus, "Other", &["--count", "1"]);
        other.send(&(n,)).unwrap();
        assert_eq!(other_listener.values(), json!([n]));
    }
}
