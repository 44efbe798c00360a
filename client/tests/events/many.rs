//! A plugin that sends on many topics, and one that hears them all.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use callgate::{Broker, Policy};
use callgate_client::{Code, Dispatch, EventContext, EventNotice, Plugin, Topic, TopicOptions};

use super::scene::{Notes, PATIENCE};

/// As many feeds as a plugin has cursors.
const MOST: usize = 1_024;
/// More than that.
const ALL: usize = MOST + 16;

fn connect(broker: &Broker, name: &str) -> Plugin {
    Plugin::builder(name)
        .descriptor(broker.connect().unwrap())
        .dispatch(Dispatch::Thread)
        .connect()
        .unwrap()
}

fn eventually(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
}

fn offer(sender: &Plugin, number: usize) -> Topic<(u32,)> {
    let options = TopicOptions::new().capacity(64 << 10);
    sender
        .topic_with(&format!("Many.{number}"), options)
        .unwrap()
}

/// A thousand topics are heard, and those beyond when a cursor is free. An event costs no look at all of them, and
/// one topic too many does not end the subscription.
#[test]
fn a_thousand_topics_are_heard_and_those_beyond_when_there_is_room() {
    let plenty = Policy::new().provide("*").gates(2_000).extent_mib(2_000);
    let broker = Broker::builder().without_socket().plugin("Sender", plenty);
    let broker = broker.start().unwrap();
    let (sender, listener) = (connect(&broker, "Sender"), connect(&broker, "Listener"));
    let (notes, failed) = (Notes::new(), Notes::new());
    let (seen, told) = (notes.clone(), failed.clone());
    let subscription = listener
        .subscription("Many.*")
        .on_notice(move |notice| {
            if let EventNotice::Failed { topic, why, .. } = notice {
                assert_eq!(why.code(), Code::Overloaded, "{why}");
                told.add(topic.to_string());
            }
        })
        .subscribe(move |event: EventContext<'_>, n: u32| {
            seen.add((event.topic().to_owned(), n));
        })
        .unwrap();
    let mut topics: Vec<_> = (0..ALL).map(|number| offer(&sender, number)).collect();
    let expected: Vec<_> = (MOST..ALL).map(|number| format!("Many.{number}")).collect();
    // Topics without a cursor are tried again at intervals. They count as senders meanwhile, and are reported once
    // more.
    let refused: BTreeSet<String> = expected.iter().cloned().collect();
    eventually(|| failed.all().into_iter().collect::<BTreeSet<_>>() == refused);
    eventually(|| subscription.senders().len() == MOST);
    let send = |topics: &[Topic<(u32,)>], n| {
        topics.iter().for_each(|topic| topic.send(&(n,)).unwrap());
    };
    (0..3).for_each(|n| send(&topics, n));
    let mut heard = notes.wait(3 * MOST);
    // Events of one topic come in order; those of different topics in any order.
    heard.sort_by_key(|(topic, _)| topic.clone());
    for events in heard.chunks(3) {
        let numbers: Vec<u32> = events.iter().map(|(_, n)| *n).collect();
        assert_eq!(numbers, [0, 1, 2], "{events:?}");
    }
    // Some topics end, and those that had no cursor are heard without being offered again.
    topics.drain(..20).for_each(drop);
    eventually(|| subscription.senders().len() == ALL - 20);
    send(&topics[topics.len() - 16..], 9);
    let mut last: Vec<_> = notes.wait(3 * MOST + 16)[3 * MOST..].to_vec();
    last.sort();
    let expected: Vec<_> = expected.into_iter().map(|topic| (topic, 9)).collect();
    assert_eq!(last, expected);
}
