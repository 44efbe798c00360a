//! Plugins that close. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Subscriber, WaitPolicy};

const PATIENCE: Duration = Duration::from_secs(20);

/// A plugin that closes while its dispatcher is just reading a change does not wait for ever: the dispatcher does not
/// fall asleep without noticing the end.
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

/// Closing with last words of any length has the same effect as dropping the plugin: its name and its gates are free.
#[test]
fn a_plugin_that_leaves_last_words_has_closed() {
    let broker = Broker::builder().without_socket().start().unwrap();
    for words in ["", "killed by signal 9", &"x".repeat(70_000)] {
        let builder = Plugin::builder("P").descriptor(broker.connect().unwrap());
        let plugin = builder.connect().unwrap();
        let gate = plugin.provide("P.Gate", |n: u32| n).unwrap();
        plugin.close_with(words, serde_json::json!({ "words": words }));
        let other = Plugin::builder("Other").descriptor(broker.connect().unwrap());
        let other = other.connect().unwrap();
        let again = other.provide("P.Gate", |n: u32| n).unwrap();
        drop((gate, again));
    }
}

/// A plugin that is dropped inside another plugin's handler waits until its own handlers have ended.
#[test]
fn a_plugin_that_is_dropped_inside_another_one_s_handler_is_waited_for() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let broker = Broker::builder().without_socket().start().unwrap();
        let connect = |name: &str| {
            let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
            let builder = builder.direct_calls(false).dispatch(dispatch);
            builder.connect().unwrap()
        };
        let [busy, drops, caller] = ["Busy", "Drops", "Caller"].map(connect);
        let is_busy = Arc::new(AtomicBool::new(false));
        let (inside, entered) = channel();
        let (seen, inside) = (is_busy.clone(), Mutex::new(inside));
        let slow = move || {
            seen.store(true, Ordering::SeqCst);
            inside.lock().unwrap().send(()).unwrap();
            thread::sleep(Duration::from_millis(200));
            seen.store(false, Ordering::SeqCst);
        };
        busy.provide("Busy.Slow", slow).unwrap().keep();
        let busy = Mutex::new(Some(busy));
        let drop_it = move || {
            drop(busy.lock().unwrap().take());
            is_busy.load(Ordering::SeqCst)
        };
        let _drop_it = drops.provide("Drops.It", drop_it).unwrap();
        let slow: Subscriber<(), ()> = caller.subscriber("Busy.Slow").unwrap();
        let drop_it: Subscriber<(), bool> = caller.subscriber("Drops.It").unwrap();
        slow.wait_ready(PATIENCE).unwrap();
        drop_it.wait_ready(PATIENCE).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| slow.with_timeout(PATIENCE).invoke(()).unwrap());
            entered.recv_timeout(PATIENCE).unwrap();
            let is_busy = drop_it.with_timeout(PATIENCE).invoke(()).unwrap();
            assert!(!is_busy, "{dispatch:?}: its handler still runs");
        });
    }
}
