//! What linked plugins are told about a plugin that has ended: how its process ended, or the last words that it has
//! left.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Code, Error, EventNotice, Plugin};
use callgate_tests::PATIENCE;
use serde_json::{Value, json};

use super::{host, provider};

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

/// Callers are told how a program has ended.
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
    // All of them, if the machine gives the broker time in these milliseconds. Without the wait it was a quarter.
    assert!(told > 20, "{told} of 40 were told");
}
