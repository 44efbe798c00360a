//! Plugins that close. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Plugin, WaitPolicy};

/// A plugin closed just when its dispatcher had begun to look at everything anew: it took note of
/// the change, missed the end, and slept for ever, with the plugin waiting for it.
#[test]
fn closing_is_never_slept_through() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for round in 0..400_u64 {
            let policy =
                [WaitPolicy::Adaptive, WaitPolicy::Park, WaitPolicy::Spin][round as usize % 3];
            let builder = Plugin::builder("P")
                .direct_calls(false)
                .descriptor(broker.connect().unwrap());
            let plugin = builder.wait_policy(policy).connect().unwrap();
            let gate = plugin.provide("P.Gate", |n: u32| n).unwrap();
            let other = thread::spawn(move || {
                thread::sleep(Duration::from_micros(round % 60));
                drop(gate);
            });
            thread::sleep(Duration::from_micros(round * 7 % 60));
            drop(plugin);
            other.join().unwrap();
            sender.send(round).unwrap();
        }
    });
    for round in 0..400 {
        let done = receiver.recv_timeout(Duration::from_secs(20));
        assert_eq!(done, Ok(round), "a plugin does not close");
    }
}
