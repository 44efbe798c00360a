//! When subscriptions and topics come and go, nothing is left behind. The test is alone in its process, whose maps
//! and descriptors it counts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{EventNotice, Plugin, Received};

/// Maps and descriptors of this process.
fn held() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    (maps.lines().count(), descriptors.count())
}

/// Waits until the process holds no more than this, plus some maps that allocators may need.
fn is_let_go(before: (usize, usize)) -> Result<(), (usize, usize)> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let now = held();
        if now.0 <= before.0 + 20 && now.1 <= before.1 + 4 {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(now);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_left_of_feeds_that_have_ended() {
    let cycles = 500;
    let broker = Broker::builder().without_socket().start().unwrap();
    let connect = |name: &str| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.connect().unwrap()
    };
    let (sender, listener) = (connect("Sender"), connect("Listener"));
    let topic = sender.topic::<(u32,)>("Numbers").unwrap();
    let cycle = |n: u32| {
        let subscription = listener.subscribe("Numbers", |_: u32| ()).unwrap();
        assert_eq!(topic.subscription_count(), 1, "{n}");
        topic.send(&(n,)).unwrap();
        subscription.unsubscribe();
        // The broker ends the session of a plugin that makes more than some thousand requests a second.
        std::thread::sleep(Duration::from_micros(700));
        if n.is_multiple_of(5) {
            let mut events = listener.events::<(u32,)>("Numbers").unwrap();
            topic.send(&(n,)).unwrap();
            let here = events.next(Duration::from_secs(20)).unwrap();
            let is_here =
                |of: &Received<_>| matches!(of, Received::Notice(EventNotice::Here { .. }));
            assert!(here.as_ref().is_some_and(is_here), "{here:?}");
            drop(sender.topic::<(u32,)>("Other").unwrap());
        }
    };
    (0..20).for_each(cycle);
    let before = held();
    (0..cycles).for_each(cycle);
    assert_eq!(is_let_go(before), Ok(()), "before: {before:?}");
}
