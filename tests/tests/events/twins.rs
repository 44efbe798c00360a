//! Listeners in other processes with types other than the sender's: they get the same events as JSON.

use callgate_tests::{Bus, programs};

use crate::scene::Talker;

const TOPIC: &str = "Meter.Level";

fn listeners<const N: usize>(bus: &Bus, kinds: [(&str, &str); N]) -> [Talker; N] {
    kinds.map(|(how, kind)| {
        let mut listener = Talker::start(bus, &format!("{how} {kind}"), "thread");
        listener.does(&format!("hear {TOPIC} {how} {kind}"));
        listener
    })
}

fn sender(bus: &Bus, kind: &str) -> Talker {
    let mut sender = Talker::start(bus, "Sender", "thread");
    sender.does(&format!("offer {TOPIC} owned 65536 0 {kind}"));
    sender
}

fn send(sender: &mut Talker, events: u64) {
    sender.ask(&format!("send {TOPIC} {events}"));
    sender.does(&format!("flush {TOPIC}"));
}

const OF: (&str, &str) = ("Sender", TOPIC);

/// A listener with other types gets the events converted, and the listeners with the sender's types still get
/// archives.
#[test]
fn who_has_other_types_gets_the_same_events_converted() {
    let bus = Bus::start(programs!());
    let kinds = [
        ("handler", "u32"),
        ("handler", "u64"),
        ("pull", "u64"),
        ("pull", "u32"),
    ];
    let mut early = listeners(&bus, kinds);
    let mut sender = sender(&bus, "u32");
    send(&mut sender, 3_000);
    // For a while nobody needs JSON, and then somebody does again.
    let [_, first, second, _] = &mut early;
    first.does(&format!("deaf {TOPIC}"));
    second.does(&format!("deaf {TOPIC}"));
    sender.await_answer(&format!("listeners {TOPIC}"), |count| count == "2");
    send(&mut sender, 100);
    first.does(&format!("hear {TOPIC} pull u64"));
    send(&mut sender, 900);
    for (listener, expected) in early.iter_mut().zip([
        "here, 0..4000",
        "here, 0..3000 as JSON, here, lost 100, 3100..4000 as JSON",
        "here, 0..3000 as JSON",
        "here, 0..4000",
    ]) {
        let without_here = |heard: &str| heard.replace("here, lost 100", "here");
        let expected = without_here(expected);
        listener.await_heard(OF, |heard| without_here(heard) == expected);
    }
}

/// An event that JSON cannot express is reported to those that need JSON, and they hear the next ones. All others
/// hear it.
#[test]
fn what_json_cannot_say_is_told_to_those_who_need_it() {
    let bus = Bus::start(programs!());
    let kinds = [("handler", "f64"), ("handler", "f32"), ("pull", "f32")];
    let [mut same, mut handler, mut puller] = listeners(&bus, kinds);
    let mut sender = sender(&bus, "f64");
    send(&mut sender, 25);
    same.expect(OF, "here, 0..25");
    let expected =
        "here, 0..9 as JSON, unwritable 9, 10..19 as JSON, unwritable 19, 20..25 as JSON";
    for listener in [&mut handler, &mut puller] {
        listener.expect(OF, expected);
    }
}

/// Types that can never be converted: the sender waits for nobody, the listener hears nothing, and it is told why.
#[test]
fn types_that_cannot_be_converted_are_told_and_not_heard() {
    let bus = Bus::start(programs!());
    let kinds = [("handler", "u32"), ("handler", "text"), ("pull", "text")];
    let [mut same, mut handler, mut puller] = listeners(&bus, kinds);
    let mut sender = sender(&bus, "u32");
    assert_eq!(sender.ask(&format!("listeners {TOPIC}")), "1");
    send(&mut sender, 10);
    same.expect(OF, "here, 0..10");
    for listener in [&mut handler, &mut puller] {
        listener.expect(OF, "unfit TYPE_MISMATCH");
    }
    // A later sender has the wanted types.
    drop(sender);
    let mut next = Talker::start(&bus, "Next", "thread");
    next.does(&format!("offer {TOPIC} owned 65536 0 text"));
    assert_eq!(next.ask(&format!("listeners {TOPIC}")), "2");
    send(&mut next, 10);
    for listener in [&mut handler, &mut puller] {
        listener.expect(("Next", TOPIC), "here, 0..10");
    }
    same.expect(("Next", TOPIC), "unfit TYPE_MISMATCH");
}
