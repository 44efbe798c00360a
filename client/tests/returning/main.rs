//! Plugins that go over to another broker, or come back to one. The broker here is the test: it is late, silent, or
//! breaks the rules.

#![allow(clippy::unwrap_used)]

mod closing;
mod fake;
mod types;

use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{BrokerEvent, Code, Provider};
use callgate_layout::control::{
    Failure, GateToBroker, GateToPlugin, LinkToPlugin, SessionToBroker, SessionToPlugin, ToBroker,
    WaitToPlugin,
};
use callgate_layout::sys::fdpass;
use nix::sys::socket::{Shutdown, shutdown};

use fake::{Broker, Came, Listener, PATIENCE, QUIET, connect, rejoin};

fn end(code: Code) -> SessionToPlugin {
    SessionToPlugin::Ended(Failure::new(code, "the test says so"))
}

/// A plugin that comes back to the bus that ended its session opens its gates there again.
#[test]
fn a_plugin_comes_back_to_the_bus_that_it_was_sent_away_from() {
    let (plugin, broker) = connect();
    let (provider, gate) = thread::scope(|scope| {
        let provider = scope.spawn(|| plugin.provide("P.A", || 1_u32).unwrap());
        let (request, life) = broker.provides();
        assert_eq!(life, None);
        broker.provided(request, 7);
        let gate = scope.spawn(|| plugin.subscriber::<(), u32>("G").unwrap());
        broker.opens();
        (provider.join().unwrap(), gate.join().unwrap())
    });
    broker.send(end(Code::Timeout), &[]);
    broker.await_end();
    let again = rejoin(&plugin, 1, 2);
    let (request, life) = again.provides();
    assert_eq!(life, Some(7));
    again.provided(request, 7);
    let open = again.opens();
    // What the plugin says from here on, the new connection is told; the end of the old one ends nothing.
    drop(broker);
    drop(gate);
    assert_eq!(again.record(), GateToBroker::Close { open }.into());
    thread::scope(|scope| {
        scope.spawn(|| drop(provider));
        let ToBroker::Gate(GateToBroker::Withdraw { request, .. }) = again.record() else {
            panic!("nothing is withdrawn");
        };
        let failure = None;
        again.send(SessionToPlugin::Answer { request, failure }, &[]);
    });
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}

/// A gate that another plugin had taken gets a new life when it comes back, after that of the other one.
#[test]
fn a_gate_that_was_lost_names_no_life_of_its_own() {
    let (plugin, broker) = connect();
    let _provider = thread::scope(|scope| {
        let provider = scope.spawn(|| plugin.provide("P.A", || 1_u32).unwrap());
        broker.provided(broker.provides().0, 7);
        provider.join().unwrap()
    });
    let second = rejoin(&plugin, 2, 1);
    let (request, life) = second.provides();
    assert_eq!(life, Some(7));
    let owner = "Other".to_owned();
    second.send(GateToPlugin::Lost { request, owner }, &[]);
    second.await_reader();
    let third = rejoin(&plugin, 3, 1);
    let (request, life) = third.provides();
    assert_eq!(life, Some(0));
    third.provided(request, 9);
    third.await_reader();
    assert_eq!(rejoin(&plugin, 4, 1).provides().1, Some(9));
}

/// A gate that a broker has refused is not asked of the next one: who may not provide it is told of that once.
#[test]
fn a_gate_that_was_refused_is_asked_for_no_more() {
    let (plugin, broker) = connect();
    let _provider = thread::scope(|scope| {
        let provider = scope.spawn(|| plugin.provide("P.A", || 1_u32).unwrap());
        broker.provided(broker.provides().0, 7);
        provider.join().unwrap()
    });
    let second = rejoin(&plugin, 2, 1);
    let (request, _) = second.provides();
    let failure = Some(Failure::new(Code::PermissionDenied, "no"));
    second.send(SessionToPlugin::Answer { request, failure }, &[]);
    second.await_reader();
    let third = rejoin(&plugin, 3, 1);
    assert_eq!(third.read(QUIET), Came::Nothing);
}

/// A thread that learns from the kernel that the broker has ended, before its plugin has noticed, waits for the next
/// broker and gets no error.
#[test]
fn who_finds_the_broker_gone_before_the_plugin_does_waits_for_the_next_one() {
    let (plugin, broker) = connect();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(), u32>("G").unwrap());
        broker.opens();
        gate.join().unwrap().with_timeout(PATIENCE)
    });
    // From here on nothing can be sent, and a thread that only reads does not notice.
    shutdown(broker.0.as_raw_fd(), Shutdown::Read).unwrap();
    thread::scope(|scope| {
        let list = scope.spawn(|| plugin.list());
        let call = scope.spawn(|| gate.invoke(()));
        let provided = scope.spawn(|| plugin.provide("P.A", || 1_u32));
        thread::sleep(QUIET);
        assert!(!list.is_finished() && !call.is_finished() && !provided.is_finished());
        drop(broker);
        let next = rejoin(&plugin, 2, 1);
        for _ in 0..4 {
            match next.record() {
                ToBroker::Gate(GateToBroker::Open { open, .. }) => next.absent(open),
                ToBroker::Gate(GateToBroker::Sync { open }) => {
                    next.send(GateToPlugin::Synced { open }, &[]);
                }
                ToBroker::Gate(GateToBroker::Provide { request, .. }) => next.provided(request, 3),
                ToBroker::Session(SessionToBroker::List { request }) => {
                    let failure = Some(Failure::new(Code::Overloaded, "no"));
                    next.send(SessionToPlugin::Answer { request, failure }, &[]);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(list.join().unwrap().unwrap_err().code(), Code::Overloaded);
        assert_eq!(call.join().unwrap().unwrap_err().code(), Code::NotReady);
        provided.join().unwrap().unwrap().keep();
    });
}

/// A plugin that cannot send everything to a broker, because that has stopped meanwhile, hangs up. Otherwise it would
/// find its own name taken later, and dropping a handle would wait for that broker.
#[test]
fn who_cannot_tell_a_broker_everything_hangs_up() {
    let (plugin, broker) = connect();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(), u32>("G").unwrap());
        broker.opens();
        gate.join().unwrap()
    });
    thread::scope(|scope| {
        let provide = |n| plugin.provide(&format!("P.{n}"), || 1_u32);
        scope.spawn(move || (0..1_000).for_each(|n| provide(n).unwrap().keep()));
        (0..1_000).for_each(|_| broker.provided(broker.provides().0, 1));
    });
    let (ours, theirs) = fdpass::pair().unwrap();
    let second = Broker(ours);
    thread::scope(|scope| {
        let rejoined = scope.spawn(|| plugin.rejoin(theirs));
        second.welcome(2, 1);
        thread::sleep(QUIET);
        let begun = Instant::now();
        drop(gate);
        assert!(begun.elapsed() < Duration::from_secs(2), "it waited");
        assert!(!rejoined.is_finished());
        let error = rejoined.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
    });
    second.await_end();
}

/// The plugin ignores answers to no question, and records about what it does not have.
#[test]
fn what_nobody_asked_for_is_ignored() {
    let (plugin, _broker) = connect();
    let broker = rejoin(&plugin, 2, 1);
    for number in [0, 1, 2, 3, u32::MAX] {
        let owner = "Other".to_owned();
        let request = number;
        broker.provided(request, u64::MAX);
        broker.send(GateToPlugin::Lost { request, owner }, &[]);
        let gates = vec![0, 1, u16::MAX];
        broker.send(LinkToPlugin::Refuse { number, gates }, &[]);
        broker.absent(number);
        broker.send(GateToPlugin::Synced { open: number }, &[]);
        broker.send(GateToPlugin::StartFailed { open: number }, &[]);
        let failure = Failure::new(Code::Timeout, "");
        let open = number;
        broker.send(GateToPlugin::OpenFailed { open, failure }, &[]);
        broker.send(SessionToPlugin::Listing { request }, &[]);
        let failure = None;
        broker.send(SessionToPlugin::Answer { request, failure }, &[]);
        let failure = Failure::new(Code::Deadlock, "");
        let wait = u64::from(number);
        broker.send(WaitToPlugin::Deadlock { wait, failure }, &[]);
        broker.await_reader();
    }
    let _provider: Provider = thread::scope(|scope| {
        let provider = scope.spawn(|| plugin.provide("P.A", || 1_u32).unwrap());
        broker.provided(broker.provides().0, 5);
        provider.join().unwrap()
    });
}

/// Each code with which a broker may end a session, and whether the plugin then stays away.
#[test]
fn some_ends_are_for_good() {
    for code in Code::ALL {
        let stays_away = matches!(
            code,
            Code::PermissionDenied
                | Code::Protocol
                | Code::Overloaded
                | Code::VersionMismatch
                | Code::InvalidArgument
                | Code::Closed
        );
        let (plugin, broker) = connect();
        let (told, events) = std::sync::mpsc::channel();
        plugin.on_broker(move |event| told.send(event).unwrap());
        broker.send(end(*code), &[]);
        broker.await_end();
        if stays_away {
            assert_eq!(plugin.wait_closed().code(), *code);
            continue;
        }
        let lost = events.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(lost, BrokerEvent::Lost(why) if why.code() == *code));
        assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
        rejoin(&plugin, 1, 2);
    }
}

/// A broker that accepts a plugin and ends the session at once is asked again only a few times a second.
#[test]
fn a_broker_that_ends_each_session_at_once_is_asked_some_times_a_second() {
    let listener = Listener::new("quick", 8);
    let (plugin, broker) = listener.connect();
    drop(broker);
    let begun = Instant::now();
    for n in 0..20 {
        let broker = listener.accept();
        broker.welcome(2 + n % 2, n);
        broker.send(end(Code::System), &[]);
        assert_ne!(broker.read(QUIET), Came::Nothing);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(20) * 20, "{took:?}");
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}
