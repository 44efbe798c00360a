//! Open topics: several processes send on one name.

use callgate_tests::random::Random;
use callgate_tests::{Bus, programs};

use crate::scene::{Talker, next};

const TOPIC: &str = "Chat.Said";
const OFFER: &str = "offer Chat.Said open 65536 0 u32";
const SENDERS: [&str; 4] = ["Ada", "Bob", "Cem", "Dan"];

/// Listeners of every kind: their mode, how they listen, and the type that they use.
const KINDS: [(&str, &str, &str); 6] = [
    ("thread", "handler", "u32"),
    ("pool", "handler", "u32"),
    ("group", "handler", "u32"),
    ("group", "pull", "u32"),
    ("thread", "pull", "u64"),
    ("pool", "handler", "u64"),
];

/// Listeners that have subscribed before anybody sends.
fn listeners(bus: &Bus) -> Vec<Talker> {
    let start = |(number, (mode, how, kind)): (usize, _)| {
        let mut listener = Talker::start(bus, &format!("Listener{number}"), mode);
        listener.does(&format!("hear {TOPIC} {how} {kind}"));
        listener
    };
    KINDS.into_iter().enumerate().map(start).collect()
}

fn sender(bus: &Bus, name: &str) -> Talker {
    let mut sender = Talker::start(bus, name, "thread");
    sender.does(OFFER);
    sender
}

/// The notes of the listener with this number. If its type differs, they say that events were converted.
fn all(number: usize, events: u64) -> String {
    let is_converted = KINDS[number].2 == "u64";
    let how = if is_converted { " as JSON" } else { "" };
    format!("here, 0..{events}{how}")
}

/// What several plugins send at the same time is heard in order for each, and under its own name.
#[test]
fn each_sender_is_heard_in_order_and_under_its_name() {
    const EVENTS: u64 = 2_000;
    let bus = Bus::start(programs!());
    let mut listeners = listeners(&bus);
    let mut senders = SENDERS.map(|name| sender(&bus, name));
    for sender in &mut senders {
        // A listener that has subscribed before hears the sender from its first event on.
        assert_eq!(
            sender.ask(&format!("listeners {TOPIC}")),
            KINDS.len().to_string()
        );
        sender.process.say(&format!("send {TOPIC} {EVENTS}"));
    }
    for sender in &mut senders {
        assert_eq!(sender.process.expect_line(), EVENTS.to_string());
        sender.does(&format!("flush {TOPIC}"));
    }
    for (number, listener) in listeners.iter_mut().enumerate() {
        for name in SENDERS {
            listener.expect((name, TOPIC), &all(number, EVENTS));
        }
    }
}

/// When a sender is killed, the events that it had sent are heard, and the other senders on the same name go on.
#[test]
fn senders_that_are_killed_and_come_again_hurt_no_other_one() {
    let bus = Bus::start(programs!());
    let mut random = Random::new("open");
    let mut listeners = listeners(&bus);
    let mut stays = sender(&bus, "Stays");
    stays.does(&format!("stream {TOPIC}"));
    for round in 1..=6 {
        let mut mortals = ["Ada", "Bob"].map(|name| sender(&bus, name));
        for mortal in &mut mortals {
            mortal.does(&format!("stream {TOPIC}"));
        }
        random.pause(30);
        let sent = mortals
            .each_mut()
            .map(|mortal| mortal.ask(&format!("send {TOPIC} 1")));
        random.pause(10);
        mortals.into_iter().for_each(|mortal| mortal.process.kill());
        for listener in &mut listeners {
            for (name, sent) in ["Ada", "Bob"].into_iter().zip(&sent) {
                let heard = listener.await_heard((name, TOPIC), |heard| {
                    heard.matches("gone PROVIDER_GONE").count() == round
                });
                let sent: u64 = sent.parse().expect("a number");
                assert!(next(&heard) >= sent && !heard.contains("lost"), "{heard}");
                assert_eq!(heard.matches("here, 0..").count(), round, "{heard}");
            }
        }
    }
    let sent = stays
        .ask(&format!("quiet {TOPIC}"))
        .parse()
        .expect("a number");
    for (number, listener) in listeners.iter_mut().enumerate() {
        listener.expect(("Stays", TOPIC), &all(number, sent));
    }
}

/// The history of an open topic has the last events of each sender.
#[test]
fn a_history_is_each_sender_s_own() {
    let bus = Bus::start(programs!());
    let _senders = [("Ada", 3), ("Bob", 0), ("Cem", 100)].map(|(name, history)| {
        let mut sender = Talker::start(&bus, name, "thread");
        sender.does(&format!("offer {TOPIC} open 65536 {history} u32"));
        assert_eq!(sender.ask(&format!("send {TOPIC} 50")), "50");
        sender
    });
    for (mode, how, kind) in KINDS {
        let mut listener = Talker::start(&bus, &format!("{mode} {how} {kind}"), mode);
        listener.does(&format!("hear Chat.* {how} {kind}"));
        let suffix = if kind == "u64" { " as JSON" } else { "" };
        listener.expect(("Ada", TOPIC), &format!("here, 47..50{suffix}"));
        listener.expect(("Bob", TOPIC), "here");
        listener.expect(("Cem", TOPIC), &format!("here, 0..50{suffix}"));
    }
}
