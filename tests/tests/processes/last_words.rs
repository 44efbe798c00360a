//! What linked plugins are told about a plugin that has ended: how its process ended, or the last words that it has
//! left.

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

/// Listeners are told the last words of a plugin that closes: a bridge knows how its child has ended.
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

/// What a listener is told if the sender leaves last words.
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

/// Listeners are told how the program has ended that sent the events, and not only that it has.
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
    // All of them, if the broker gets the processor within some milliseconds.
    assert!(told > 0, "none of 20 was told");
}

/// A caller is told how a program has ended if the broker hears of its end within 5 ms. On a busy machine the broker
/// may come too late for most of 40 callers, so there are several tries; without the wait a quarter is told in each.
#[test]
fn callers_are_told_how_a_program_has_ended() {
    let (broker, host) = host();
    let mut tries = (0..5).map(|_| told_of_ends(&broker, &host));
    assert!(
        tries.any(|told| told > 20),
        "in no try were most callers told"
    );
}

/// How many of 40 callers are told how the program has ended that they call.
fn told_of_ends(broker: &Broker, host: &Plugin) -> usize {
    let hang = host.subscriber::<(u64,), ()>("P.Hang").expect("it opens");
    let end = |_: &usize| {
        let child = broker.spawn("P", provider("P")).expect("it starts");
        child.wait_ready(PATIENCE).expect("it connects");
        hang.wait_ready(PATIENCE).expect("it provides");
        let error = std::thread::scope(|scope| {
            let calling = scope.spawn(|| hang.invoke((60_000,)).expect_err("it is killed"));
            std::thread::sleep(Duration::from_millis(5));
            child.kill().expect("it lives");
            calling.join().expect("no panic")
        });
        let ended = child.wait(PATIENCE).expect("it is known");
        ended.expect("it has ended");
        if error.code() == Code::NotReady {
            // The program was killed before the call began.
            return false;
        }
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
        let exit = json!({ "exit": { "signal": 9 } });
        assert!(
            error.context().is_none_or(|context| *context == exit),
            "{error}"
        );
        error.context().is_some()
    };
    (0..40).filter(end).count()
}
