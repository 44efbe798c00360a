//! Rights to listen and to send on open topics are taken back and given again while events are sent.

use callgate::{Broker, Policy};
use callgate_tests::{Bus, programs};

use crate::scene::{Talker, next};

const OPEN: &str = "Weather.Wind";

/// A broker in this process, at the socket where processes look for one.
fn bus() -> (Bus, Broker) {
    let bus = Bus::without_broker(programs!());
    let broker = Broker::builder().socket(bus.socket()).start();
    (bus, broker.expect("a broker"))
}

const DENIED: &str = "gone PERMISSION_DENIED: the policy of plugin";

/// How much a listener has heard of a sender that sends all the time, after it has sent some more.
fn more(listener: &mut Talker, sender: &str) -> u64 {
    let of = (sender, OPEN);
    let before = next(&listener.await_heard(of, |_| true));
    next(&listener.await_heard(of, |heard| next(heard) > before + 10))
}

/// A listener whose right is taken back hears nothing more. It hears again when it has the right again, and the other
/// listeners are not affected.
#[test]
fn a_right_to_hear_is_taken_away_and_given_back() {
    let (bus, broker) = bus();
    let start = |name, mode| Talker::start(&bus, name, mode);
    let (mut sender, mut other) = (start("Sender", "thread"), start("Other", "thread"));
    let (mut exact, mut prefix) = (start("Exact", "pool"), start("Prefix", "thread"));
    // The subscription is made before anybody sends.
    exact.does(&format!("hear {OPEN} handler u32"));
    prefix.does("hear Weather.* pull u32");
    other.does("hear Weather.* handler u64");
    sender.does(&format!("offer {OPEN} open 65536 0 u32"));
    sender.does(&format!("stream {OPEN}"));
    for round in 1..=4 {
        for listener in [&mut exact, &mut prefix, &mut other] {
            more(listener, "Sender");
        }
        // The remaining rights do not cover the prefix.
        let rest = Policy::new().subscribe(OPEN).subscribe("Other.*");
        let no_right = [("Exact", Policy::new()), ("Prefix", rest)];
        for (name, policy) in no_right {
            broker.set_policy(name, Some(policy)).expect("it runs");
        }
        for listener in [&mut exact, &mut prefix] {
            let is_over = |heard: &str| {
                let gone = heard.rsplit(", ").next();
                gone.is_some_and(|gone| gone.starts_with(DENIED))
            };
            let heard = listener.await_heard(("Sender", OPEN), is_over);
            assert_eq!(heard.matches(DENIED).count(), round, "{heard}");
        }
        more(&mut other, "Sender");
        broker.set_policy("Exact", None).expect("it runs");
        let again = Policy::new().subscribe("Weather.*");
        broker.set_policy("Prefix", Some(again)).expect("it runs");
    }
    for listener in [&mut exact, &mut prefix] {
        more(listener, "Sender");
    }
    let sent = sender.ask(&format!("quiet {OPEN}"));
    for listener in [&mut exact, &mut prefix] {
        let heard = listener.await_heard(("Sender", OPEN), |heard| next(heard).to_string() == sent);
        // One for the beginning, and one for each round. The events that were missed meanwhile are reported.
        assert_eq!(heard.matches("here").count(), 5, "{heard}");
        assert_eq!(heard.matches("lost").count(), 4, "{heard}");
    }
    other.expect(("Sender", OPEN), &format!("here, 0..{sent} as JSON"));
}

/// A sender whose right is taken back stops, does not end the topic for the others, and can come back.
#[test]
fn a_right_to_send_is_taken_away_and_given_back() {
    let (bus, broker) = bus();
    let start = |name| Talker::start(&bus, name, "thread");
    let mut senders = ["One", "Other"].map(start);
    let mut listener = start("Listener");
    listener.does("hear Weather.* handler u32");
    let offer = format!("offer {OPEN} open 65536 0 u32");
    for sender in &mut senders {
        sender.does(&offer);
        sender.does(&format!("stream {OPEN}"));
    }
    let of = ("One", OPEN);
    for round in 1..=3 {
        more(&mut listener, "One");
        let rest = Policy::new().provide("*").send("Other.*");
        broker.set_policy("One", Some(rest)).expect("it runs");
        // Its ring says that no more comes, and the broker says why. Either may be first.
        listener.await_heard(of, |heard| heard.matches("gone P").count() == round);
        let [one, _] = &mut senders;
        // It learns of that by itself.
        let send = format!("send {OPEN} 1");
        one.await_answer(&send, |code| code == "PERMISSION_DENIED");
        assert_eq!(one.ask(&format!("quiet {OPEN}")), "PERMISSION_DENIED");
        assert_eq!(one.ask(&offer), "PERMISSION_DENIED");
        more(&mut listener, "Other");
        broker.set_policy("One", None).expect("it runs");
        assert_eq!(one.ask(&send), "PERMISSION_DENIED");
        // It offers the topic again, and counts from 0.
        one.does(&offer);
        one.does(&format!("stream {OPEN}"));
        listener.await_heard(of, |heard| heard.matches("here, 0..").count() == round + 1);
    }
    let sent = senders
        .each_mut()
        .map(|sender| sender.ask(&format!("quiet {OPEN}")));
    listener.await_heard(of, |heard| {
        heard.ends_with(&format!("here, 0..{}", sent[0]))
    });
    listener.expect(("Other", OPEN), &format!("here, 0..{}", sent[1]));
    // A plugin that never had the right is refused at once.
    broker
        .set_policy("Listener", Some(Policy::new().subscribe("Weather.*")))
        .expect("it runs");
    listener.does("hear Weather.Rain handler u32");
    for topic in ["Other.*", "Other.Rain", "Weatherman.Says"] {
        let answer = listener.ask(&format!("hear {topic} handler u32"));
        assert_eq!(answer, "PERMISSION_DENIED", "{topic}");
    }
}
