//! Plugins whose broker is killed and started again: calls go on, and the plugins are told.

use std::time::Duration;

use callgate_client::{Code, Context, dynamic, signature_of};
use callgate_tests::restart::{Standing, Told};
use callgate_tests::shorthand::{await_that, code, open, pattern};
use callgate_tests::{Bus, programs};

/// Long enough for everything that a plugin does when its broker has just ended.
const A_WHILE: Duration = Duration::from_millis(150);

/// Plugins come to the next broker by themselves, no call fails, and new gates can be opened without connecting
/// again.
#[test]
fn plugins_are_on_the_next_broker_s_bus_and_no_call_fails() {
    let mut bus = Bus::start(programs!());
    let _p = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let own = bus.plugin("Own");
    own.provide("Own.Add", |a: u64, b: u64| a + b)
        .unwrap()
        .keep();
    let direct = bus.builder("Direct").direct_calls(true).connect().unwrap();
    direct
        .provide("Direct.Add", |a: u64, b: u64| a + b)
        .unwrap()
        .keep();
    let told = [&caller, &own, &direct].map(Told::by);
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let calls = ["P.Add", "Own.Add", "Direct.Add"].map(|gate| {
        let add = open::<(u64, u64), u64>(&caller, gate);
        Standing::start(gate, move |n| {
            add.invoke((n, 1)).map(|sum| assert_eq!(sum, n + 1))
        })
    });
    let echoes = Standing::start("P.Echo", move |n| {
        let bytes = pattern(n, (n * 331 % 60_000) as usize);
        let echoed = echo.invoke((bytes.clone(),))?;
        assert!(echoed == bytes, "call {n}");
        Ok(())
    });
    let id = caller.id();
    bus.kill_broker();
    for told in &told {
        assert_eq!(told.lost().code(), Code::BrokerGone);
    }
    calls.iter().for_each(Standing::expect_progress);
    bus.start_broker();
    let pid = bus.broker.as_ref().unwrap().id();
    for told in &told {
        assert_eq!(told.back(), (pid, 2));
    }
    assert!(caller.wait_closed_for(A_WHILE).is_none());
    assert_ne!(caller.id(), id, "it is another one to the new broker");
    calls.iter().for_each(Standing::expect_progress);
    echoes.expect_progress();
    // A plugin that is new finds all of them.
    let late = bus.plugin("Late");
    for gate in ["P.Add", "Own.Add", "Direct.Add"] {
        let add = open::<(u64, u64), u64>(&late, gate);
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    }
    for calls in calls.into_iter().chain([echoes]) {
        calls.finish();
    }
    told.iter().for_each(Told::nothing_more);
}

/// A gate that was withdrawn, or a subscriber that was closed, while there was no broker does not exist at the next
/// one.
#[test]
fn what_is_let_go_without_a_broker_is_not_told_to_the_next_one() {
    let mut bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("Provider"), bus.plugin("Caller"));
    let kept = provider.provide("Provider.Kept", || 1_u32).unwrap();
    let dropped = provider.provide("Provider.Dropped", || 2_u32).unwrap();
    let kept_gate = open::<(), u32>(&caller, "Provider.Kept");
    let closed = open::<(), u32>(&caller, "Provider.Dropped");
    let left = open::<(), u32>(&caller, "Provider.Dropped").with_timeout(A_WHILE);
    let told = [&provider, &caller].map(Told::by);
    bus.kill_broker();
    for told in &told {
        told.lost();
    }
    drop(dropped);
    // Its provider says so, and no broker knows another one.
    assert_eq!(code(left.invoke(())), Code::BrokerGone);
    drop(closed);
    assert_eq!(kept_gate.invoke(()).unwrap(), 1);
    bus.start_broker();
    for told in &told {
        told.back();
    }
    let gates = |bus: &Bus| -> Vec<String> {
        let listing = bus.plugin("Looker").list().unwrap();
        let gates = listing["gates"].as_array().unwrap().iter();
        let name = |gate: &serde_json::Value| gate["name"].as_str().unwrap().to_owned();
        gates.map(name).collect()
    };
    assert_eq!(gates(&bus), ["Provider.Kept"]);
    let another = bus.plugin("Another");
    let _again = another.provide("Provider.Dropped", || 3_u32).unwrap();
    await_that("the subscriber that is left finds it", || {
        left.invoke(()).is_ok_and(|n| n == 3)
    });
    drop(kept);
    assert_eq!(code(kept_gate.invoke(())), Code::NotReady);
}

/// A wait for a gate that nobody provides yet goes on at the next broker, and ends when the gate is provided there.
#[test]
fn who_waits_for_a_gate_that_nobody_provides_is_told_by_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    let gate = caller.subscriber::<(), u32>("Late.Gate").unwrap();
    let watch = caller.watch("Late.Gate").unwrap();
    assert!(!watch.next(Duration::ZERO).unwrap().unwrap().is_present());
    let told = Told::by(&caller);
    bus.restart_broker();
    told.lost();
    told.back();
    let late = bus.plugin("Late");
    let _provider = late.provide("Late.Gate", || 7_u32).unwrap();
    gate.wait_ready(callgate_tests::PATIENCE).unwrap();
    assert_eq!(gate.invoke(()).unwrap(), 7);
    let event = watch.next(callgate_tests::PATIENCE).unwrap().unwrap();
    assert_eq!(event.owner.as_deref(), Some("Late"));
}

/// Sent calls, for which no thread waits, are answered whatever happens to the broker: their link is still watched.
#[test]
fn calls_that_were_sent_are_answered_whatever_the_broker_does() {
    let mut bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("Provider"), bus.plugin("Caller"));
    let bytes = signature_of::<(Vec<u8>,), Vec<u8>>();
    let (sender, held) = std::sync::mpsc::channel();
    let later = move |_: Context<'_>, request: &[u8], responder: dynamic::Responder| {
        sender.send((request.to_vec(), responder)).unwrap();
    };
    let later = dynamic::provide_later(&provider, "Provider.Later", &bytes, later);
    later.unwrap().keep();
    let gate = dynamic::open(&caller, "Provider.Later", &bytes).unwrap();
    gate.wait_ready(callgate_tests::PATIENCE).unwrap();
    let gate = gate.with_timeout(callgate_tests::PATIENCE);
    let told = [&provider, &caller].map(Told::by);
    let mut sent = Vec::new();
    let mut send = |numbers: std::ops::Range<u64>| {
        for n in numbers {
            let request = dynamic::encode(&(pattern(n, 100),)).unwrap();
            sent.push((n, gate.send(&request).unwrap()));
        }
    };
    // More than a link carries at a time: the others wait in this process.
    send(0..100);
    bus.kill_broker();
    told[0].lost();
    told[1].lost();
    send(100..120);
    bus.start_broker();
    told[0].back();
    told[1].back();
    send(120..140);
    let answering = std::thread::spawn(move || {
        for (request, responder) in held {
            let (bytes,): (Vec<u8>,) = dynamic::decode(&request).unwrap();
            responder.reply(&dynamic::encode(&bytes).unwrap()).unwrap();
        }
    });
    for (n, call) in sent {
        let answer = call.wait().unwrap_or_else(|why| panic!("call {n}: {why}"));
        let answer: Vec<u8> = dynamic::decode(&answer).unwrap();
        assert!(answer == pattern(n, 100), "call {n}");
    }
    drop((provider, caller));
    answering.join().unwrap();
}

/// A plugin that comes back before its peers waits for gates that it opens then, and does not find them absent.
#[test]
fn what_is_opened_right_after_the_return_waits_for_its_provider() {
    let mut bus = Bus::start(programs!());
    let _p = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let told = Told::by(&caller);
    for round in 0..8 {
        bus.kill_broker();
        told.lost();
        bus.start_broker();
        told.back();
        let add = caller.subscriber::<(u64, u64), u64>("P.Add").unwrap();
        assert_eq!(add.invoke((round, 1)).unwrap(), round + 1, "round {round}");
    }
}
