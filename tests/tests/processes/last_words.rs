//! What those who are linked with a plugin are told when it has ended: how its process did, or what it has left to be
//! told.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Code, Error, EventNotice, Plugin, Received};
use callgate_tests::PATIENCE;
use callgate_tests::events::{Numbered, TOPIC};
use serde_json::{Value, json};

use super::{PEER, host, provider, quiet};

/// A bridge knows how its child has ended, and those who heard its events were told that it had closed.
#[test]
fn peers_are_told_the_last_words_of_a_plugin_that_closes() {
    let (broker, host) = host();
    let context = json!({ "exit": { "signal": 9 }, "stderr": ["no such file"] });
    for _ in 0..20 {
        let why = end_of_a_topic(&broker, &host, &context);
        assert_eq!(why.code(), Code::ProviderGone, "{why}");
        assert!(why.message().contains("the child was killed"), "{why}");
        assert_eq!(why.context(), Some(&context));
    }
}

/// What a listener is told when the sender leaves last words.
fn end_of_a_topic(broker: &Broker, host: &Plugin, context: &Value) -> Error {
    let builder = Plugin::builder("P").descriptor(broker.connect().expect("a connection"));
    let plugin = builder.direct_calls(false).connect().expect("a plugin");
    let _topic = plugin.topic::<(u32,)>("P.Ticks").expect("it is free");
    let (told, hears) = channel();
    let told = Mutex::new(told);
    let subscription = host.subscription("P.Ticks").on_notice(move |notice| {
        let why = match notice {
            EventNotice::Gone { why, .. } => Some(why.clone()),
            _ => None,
        };
        told.lock()
            .expect("nobody panicked")
            .send(why)
            .expect("it is heard");
    });
    let _heard = subscription.subscribe(|_: u32| {}).expect("a subscription");
    assert!(
        hears.recv_timeout(PATIENCE).expect("a notice").is_none(),
        "it is here"
    );
    plugin.close_with("the child was killed", context.clone());
    hears
        .recv_timeout(PATIENCE)
        .expect("a notice")
        .expect("it is gone")
}

/// Who heard its events was told that it had ended, and never how.
#[test]
fn listeners_are_told_how_a_program_has_ended() {
    let (broker, host) = host();
    let mut told = 0;
    for _ in 0..20 {
        let mut sender = quiet(PEER, &["numbers-sender", "S", "lossless", "65536", "0"]);
        sender.stdin(Stdio::piped());
        let child = broker.spawn("S", sender).unwrap();
        let mut events = host.events::<Numbered>(TOPIC).unwrap();
        let mut next = || events.next(PATIENCE).unwrap().expect("a notice");
        assert!(matches!(next(), Received::Notice(EventNotice::Here { .. })));
        child.kill().unwrap();
        let Received::Notice(EventNotice::Gone { why, .. }) = next() else {
            panic!("it has ended");
        };
        child.wait(PATIENCE).unwrap().unwrap();
        assert_eq!(why.code(), Code::ProviderGone, "{why}");
        if let Some(context) = why.context() {
            assert_eq!(*context, json!({ "exit": { "signal": 9 } }), "{why}");
            told += 1;
        }
    }
    // All of them, where the machine has time for the broker in these milliseconds.
    assert!(told > 10, "{told} of 20 were told");
}

/// Most callers were told that it had gone before anybody knew how.
#[test]
fn callers_are_told_how_a_program_has_ended() {
    let (broker, host) = host();
    let hang = host.subscriber::<(u64,), ()>("P.Hang").unwrap();
    let mut told = 0;
    for _ in 0..40 {
        let child = broker.spawn("P", provider("P")).unwrap();
        child.wait_ready(PATIENCE).unwrap();
        hang.wait_ready(PATIENCE).unwrap();
        let error = std::thread::scope(|scope| {
            let calling = scope.spawn(|| hang.invoke((60_000,)).unwrap_err());
            std::thread::sleep(Duration::from_millis(5));
            child.kill().unwrap();
            calling.join().unwrap()
        });
        child.wait(PATIENCE).unwrap().unwrap();
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
        if let Some(context) = error.context() {
            assert_eq!(*context, json!({ "exit": { "signal": 9 } }), "{error}");
            told += 1;
        }
    }
    // All of them, where the machine has time for the broker in these milliseconds. It was a quarter.
    assert!(told > 20, "{told} of 40 were told");
}
