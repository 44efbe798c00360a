//! Subscriptions to all topics under a prefix, which come and go.

use callgate_tests::{Bus, programs};

use crate::scene::Talker;

fn offer(topic: &str, how: &str) -> String {
    format!("offer {topic} {how} 65536 0 u32")
}

/// Sends some more events on a topic, and waits until they are handled.
fn send(sender: &mut Talker, topic: &str) {
    sender.ask(&format!("send {topic} 5"));
    sender.does(&format!("flush {topic}"));
}

/// A pattern hears topics that begin later, none under other prefixes, and a topic that ends and begins again from
/// its new start.
#[test]
fn topics_under_a_prefix_are_heard_when_they_come_and_until_they_go() {
    let bus = Bus::start(programs!());
    let mut listeners = [("thread", "handler"), ("group", "pull")].map(|(mode, how)| {
        let mut listener = Talker::start(&bus, how, mode);
        listener.does(&format!("hear weather.* {how} u32"));
        listener
    });
    let mut senders = ["One", "Other"].map(|name| Talker::start(&bus, name, "thread"));
    let [one, other] = &mut senders;
    let topics = ["weather.Rain", "weather.snow.Depth", "weather.Wind"];
    one.does(&offer(topics[0], "owned"));
    one.does(&offer(topics[1], "owned"));
    one.does(&offer(topics[2], "open"));
    other.does(&offer(topics[2], "open"));
    for not_heard in [
        "weather",
        "weatherman.Says",
        "Weather.Rain",
        "the.weather.Rain",
    ] {
        other.does(&offer(not_heard, "owned"));
        assert_eq!(
            other.ask(&format!("listeners {not_heard}")),
            "0",
            "{not_heard}"
        );
        send(other, not_heard);
    }
    for topic in topics {
        send(one, topic);
    }
    send(other, topics[2]);
    for listener in &mut listeners {
        for of in topics.map(|topic| ("One", topic)) {
            listener.expect(of, "here, 0..5");
        }
        listener.expect(("Other", topics[2]), "here, 0..5");
    }
    // One topic is ended in order, and another plugin takes its name. One ends with its process.
    one.does(&format!("end {}", topics[0]));
    other.does(&offer(topics[0], "owned"));
    send(other, topics[0]);
    senders[0].process.end();
    for listener in &mut listeners {
        for of in topics.map(|topic| ("One", topic)) {
            listener.await_heard(of, |heard| {
                heard.starts_with("here, 0..5, gone PROVIDER_GONE")
            });
        }
        listener.expect(("Other", topics[0]), "here, 0..5");
    }
    let other = &mut senders[1];
    for listener in &mut listeners {
        listener.does("deaf weather.*");
    }
    // A listener that pulls takes a moment to let go.
    for topic in [topics[0], topics[2]] {
        other.await_answer(&format!("listeners {topic}"), |count| count == "0");
    }
    other.does(&offer("weather.Later", "owned"));
    assert_eq!(other.ask("listeners weather.Later"), "0");
    for listener in &mut listeners {
        for topic in [topics[0], topics[2]] {
            listener.expect(("Other", topic), "here, 0..5");
        }
        // It may subscribe again, and hears them from there on.
        listener.does("hear weather.* handler u32");
    }
    send(other, topics[0]);
    for listener in &mut listeners {
        listener.expect(("Other", topics[0]), "here, 0..5, here, 5..10");
        listener.expect(("Other", "weather.Later"), "here");
    }
}
