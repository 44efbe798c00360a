//! Calls that ask the broker for their gate's state. The broker here is the test: it answers late, never, or without
//! being asked.

#![allow(clippy::unwrap_used)]

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Gate};
use callgate_client::{CancelToken, Code, Plugin, Provider, Result, Subscriber, signature_of};
use callgate_layout::control::{
    Availability, BrokerFacts, GateState, GateToBroker, GateToPlugin, LinkEnd, LinkToBroker,
    LinkToPlugin, MAX_RECORD, PluginLimits, SessionToBroker, SessionToPlugin, ToBroker, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::{fdpass, memfd};

const PATIENCE: Duration = Duration::from_secs(20);
/// How long the test waits to see that nothing comes.
const QUIET: Duration = Duration::from_millis(100);

/// The broker's end of a plugin's connection.
struct Broker(OwnedFd);

impl Broker {
    fn send(&self, record: impl Into<ToPlugin>, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let bytes = record.into().encode().unwrap();
        fdpass::send(self.0.as_fd(), &bytes, &descriptors).unwrap();
    }

    fn read(&self, patience: Duration) -> Option<ToBroker> {
        let (until, mut buffer) = (Instant::now() + patience, vec![0; MAX_RECORD]);
        while Instant::now() < until {
            match fdpass::receive_plain(self.0.as_fd(), &mut buffer) {
                Ok(received) => match ToBroker::decode(&buffer[..received.len]).unwrap() {
                    // This broker knows no reason why a gate is absent.
                    ToBroker::Gate(GateToBroker::WhyAbsent { request, .. }) => {
                        let failure = None;
                        self.send(SessionToPlugin::Answer { request, failure }, &[]);
                    }
                    other => return Some(other),
                },
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    /// Reads a question.
    fn asked(&self) -> u32 {
        match self.read(PATIENCE) {
            Some(ToBroker::Gate(GateToBroker::Sync { open })) => open,
            other => panic!("no question: {other:?}"),
        }
    }

    /// Answers all questions until the flag is set; returns how many there were.
    fn answer_until(&self, open: u32, is_over: impl Fn() -> bool) -> u32 {
        let mut count = 0;
        while !is_over() {
            if let Some(record) = self.read(QUIET / 20) {
                assert_eq!(record, GateToBroker::Sync { open }.into());
                self.answer(open);
                count += 1;
            }
        }
        count
    }

    fn answer(&self, open: u32) {
        self.send(GateToPlugin::Synced { open }, &[]);
    }

    /// Revokes a grant on a link that the plugin does not have, and reads the acknowledgement: everything that was
    /// sent before has been processed.
    fn revoke(&self, number: u64) {
        let end = LinkEnd { link: 77, side: 1 };
        let revoke = LinkToPlugin::Revoke {
            end,
            number,
            indexes: vec![0, 1, u16::MAX],
        };
        self.send(revoke, &[]);
        let revoked = LinkToBroker::Revoked { end, number };
        assert_eq!(self.read(PATIENCE), Some(revoked.into()));
    }

    /// Reports that nobody provides a gate.
    fn absent(&self, open: u32) {
        let state = GateState {
            owner: None,
            generation: 0,
            function: Availability::Absent,
            action: Availability::Absent,
            route: None,
        };
        self.send(GateToPlugin::State { open, state }, &[]);
    }

    /// Answers the opening of a gate that nobody provides; returns its number.
    fn open(&self) -> u32 {
        let Some(ToBroker::Gate(GateToBroker::Open { open, .. })) = self.read(PATIENCE) else {
            panic!("it opens nothing");
        };
        self.absent(open);
        open
    }
}

fn memory(len: usize) -> OwnedFd {
    memfd::create("callgate-test", len).unwrap()
}

fn connect() -> (Plugin, Broker) {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let plugin = thread::spawn(|| {
        let builder = Plugin::builder("P").descriptor(theirs);
        builder.outlives_broker(false).connect()
    });
    let hello = broker.read(PATIENCE);
    assert!(matches!(
        hello,
        Some(ToBroker::Session(SessionToBroker::Hello(_)))
    ));
    let limits = PluginLimits {
        gates: 9,
        opens: 9,
        links: 9,
        extent_mib: 9,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
    };
    let welcome = SessionToPlugin::Welcome {
        bus: 1,
        plugin: 1,
        limits,
        broker: BrokerFacts {
            pid: 1,
            generation: 1,
        },
    };
    broker.send(welcome, &[memory(DOORBELL_LEN), memory(STATUS_LEN)]);
    for expected in [SessionToBroker::Took, SessionToBroker::StatusMapped] {
        assert_eq!(broker.read(PATIENCE), Some(expected.into()));
    }
    (plugin.join().unwrap().unwrap(), broker)
}

type Numbered<T> = (T, u32);

fn typed(plugin: &Plugin, broker: &Broker) -> Numbered<Subscriber<(), u64>> {
    thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(), u64>("G"));
        let open = broker.open();
        (gate.join().unwrap().unwrap().with_timeout(PATIENCE), open)
    })
}

fn bytes(plugin: &Plugin, broker: &Broker) -> Numbered<Gate> {
    thread::scope(|scope| {
        let signature = signature_of::<(), u64>();
        let gate = scope.spawn(move || dynamic::open(plugin, "G", &signature));
        let open = broker.open();
        (gate.join().unwrap().unwrap().with_timeout(PATIENCE), open)
    })
}

fn code<T>(outcome: Result<T>) -> Option<Code> {
    outcome.map(drop).map_err(|error| error.code()).err()
}

/// A call whose broker does not answer fails at its deadline, not when the broker goes on.
#[test]
fn a_question_that_is_not_answered_ends_with_the_call_s_time() {
    let (plugin, broker) = connect();
    let (gate, open) = typed(&plugin, &broker);
    let hasty = gate.with_timeout(Duration::from_millis(150));
    let begun = Instant::now();
    let error = hasty.invoke(()).unwrap_err();
    assert_eq!(
        (error.code(), error.may_have_run()),
        (Code::NotReady, false)
    );
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(broker.asked(), open);
    // The next call waits for a question of its own, which is sent only after the answer to that one.
    assert_eq!(code(hasty.invoke(())), Some(Code::NotReady));
    assert_eq!(broker.read(QUIET), None);
    broker.answer(open);
    assert_eq!(broker.asked(), open);
    // A call without time asks nobody.
    let none = gate.with_timeout(Duration::ZERO);
    assert_eq!(code(none.invoke(())), Some(Code::NotReady));
    // A wait takes at most half a second longer than its timeout.
    let begun = Instant::now();
    assert_eq!(code(gate.wait_ready(Duration::ZERO)), Some(Code::NotReady));
    assert!(begun.elapsed() >= Duration::from_millis(500) && begun.elapsed() < PATIENCE / 2);
    assert_eq!(broker.read(QUIET), None);
}

/// Calls that begin before a question is sent share it; they do not ask one by one.
#[test]
fn calls_share_a_question_that_was_sent_after_they_began() {
    let (plugin, broker) = connect();
    let (gate, open) = typed(&plugin, &broker);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| code(gate.invoke(()))))
            .collect();
        assert_eq!(broker.asked(), open);
        assert_eq!(broker.read(QUIET), None);
        broker.answer(open);
        // Nearly all others have begun by now, and share the next question.
        assert_eq!(broker.asked(), open);
        broker.answer(open);
        let more = broker.answer_until(open, || calls.iter().all(|call| call.is_finished()));
        assert!(more < 4, "{more} of 8 calls asked once more");
        for call in calls {
            assert_eq!(call.join().unwrap(), Some(Code::NotReady));
        }
    });
    assert_eq!(broker.read(QUIET), None);
}

/// An answer to no question answers nothing.
#[test]
fn an_answer_that_nobody_asked_for_is_none() {
    let (plugin, broker) = connect();
    let (gate, open) = typed(&plugin, &broker);
    for number in [open, open, open + 7] {
        broker.answer(number);
    }
    broker.revoke(1);
    thread::scope(|scope| {
        let call = scope.spawn(|| code(gate.invoke(())));
        assert_eq!(broker.asked(), open);
        thread::sleep(QUIET);
        assert!(!call.is_finished());
        broker.answer(open + 7);
        thread::sleep(QUIET);
        assert!(!call.is_finished());
        broker.answer(open);
        assert_eq!(call.join().unwrap(), Some(Code::NotReady));
    });
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}

/// The wait for an answer ends at once with the broker, with the plugin, or when the caller gives up.
#[test]
fn whatever_ends_the_wait_for_an_answer_ends_it_at_once() {
    let (plugin, broker) = connect();
    let (gate, open) = typed(&plugin, &broker);
    let token = CancelToken::new();
    let cancelled = gate.with_cancel(&token);
    thread::scope(|scope| {
        let call = scope.spawn(|| code(cancelled.invoke(())));
        assert_eq!(broker.asked(), open);
        thread::sleep(QUIET);
        token.cancel();
        assert_eq!(call.join().unwrap(), Some(Code::Cancelled));
        broker.answer(open);
        let call = scope.spawn(|| code(gate.invoke(())));
        // This call waits by now. One that began after the broker's end would be told of that end.
        assert_eq!(broker.asked(), open);
        let wait = scope.spawn(|| code(gate.wait_ready(PATIENCE)));
        thread::sleep(QUIET);
        let begun = Instant::now();
        drop(broker);
        assert_eq!(call.join().unwrap(), Some(Code::NotReady));
        assert_eq!(wait.join().unwrap(), Some(Code::BrokerGone));
        assert!(begun.elapsed() < PATIENCE / 2);
    });
    // From then on no call asks.
    assert_eq!(code(gate.invoke(())), Some(Code::BrokerGone));
}

/// Sending a call does not wait for the broker's answer; the sent call does.
#[test]
fn a_call_that_is_sent_waits_for_the_answer_and_its_sender_does_not() {
    let (plugin, broker) = connect();
    let (gate, open) = bytes(&plugin, &broker);
    let begun = Instant::now();
    let sent: Vec<_> = (0..100).map(|_| gate.send(&[]).unwrap()).collect();
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(broker.asked(), open);
    broker.answer(open);
    // Calls that begin later share the next question.
    thread::scope(|scope| {
        let waits = || sent.into_iter().map(|call| code(call.wait())).collect();
        let waiting = scope.spawn(move || -> Vec<_> { waits() });
        let more = broker.answer_until(open, || waiting.is_finished());
        assert!(more < 50, "{more} of 100 calls asked once more");
        let outcomes = waiting.join().unwrap();
        assert_eq!(outcomes, [Some(Code::NotReady); 100]);
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "they were told of no answer"
        );
    });
    // It ends at its deadline, when it is given up, and with the broker.
    let hasty = gate.with_timeout(Duration::from_millis(100));
    let late = hasty.send(&[]).unwrap();
    assert_eq!(broker.asked(), open);
    assert_eq!(code(late.wait()), Some(Code::NotReady));
    drop(gate.send(&[]).unwrap());
    let last = gate.send(&[]).unwrap();
    thread::sleep(QUIET);
    let begun = Instant::now();
    drop(broker);
    assert_eq!(code(last.wait()), Some(Code::NotReady));
    assert!(begun.elapsed() < PATIENCE / 2, "it was told of no end");
    assert_eq!(code(gate.send(&[])), Some(Code::BrokerGone));
}

/// A revocation on a link that this side has already closed is acknowledged, too. Otherwise the change of policy
/// would wait for it.
#[test]
fn what_is_revoked_is_acknowledged_also_where_the_link_is_gone() {
    let (_plugin, broker) = connect();
    broker.revoke(3);
    broker.revoke(4);
}

/// Provides gates, and has the broker agree.
fn provide<const N: usize>(plugin: &Plugin, broker: &Broker, gates: [&str; N]) -> [Provider; N] {
    gates.map(|gate| {
        thread::scope(|scope| {
            let provided = scope.spawn(|| plugin.provide(gate, |n: u64| n).unwrap());
            let Some(ToBroker::Gate(GateToBroker::Provide { request, .. })) = broker.read(PATIENCE)
            else {
                panic!("it provides nothing");
            };
            broker.send(GateToPlugin::Provided { request, life: 1 }, &[]);
            provided.join().unwrap()
        })
    })
}

fn agree(broker: &Broker, request: u32) {
    let failure = None;
    broker.send(SessionToPlugin::Answer { request, failure }, &[]);
}

/// Reads that a gate is withdrawn; returns the number of the request.
fn withdrawn(broker: &Broker) -> u32 {
    match broker.read(PATIENCE) {
        Some(ToBroker::Gate(GateToBroker::Withdraw { request, .. })) => request,
        other => panic!("nothing is withdrawn: {other:?}"),
    }
}

/// A stopped broker is waited for once, and not by each provider that is dropped.
#[test]
fn a_silent_broker_is_waited_for_once() {
    let (plugin, broker) = connect();
    let providers = provide(&plugin, &broker, ["P.A", "P.B", "P.C"]);
    let begun = Instant::now();
    drop(providers);
    let took = begun.elapsed();
    let requests = [(); 3].map(|()| withdrawn(&broker));
    assert!(took < Duration::from_secs(9), "{took:?}");
    // When it answers again, it is waited for again.
    agree(&broker, requests[2]);
    let [last] = provide(&plugin, &broker, ["P.D"]);
    thread::scope(|scope| {
        let dropped = scope.spawn(|| drop(last));
        let request = withdrawn(&broker);
        thread::sleep(QUIET);
        assert!(!dropped.is_finished());
        agree(&broker, request);
    });
}

/// A plugin that closes waits until the broker knows that its gates are withdrawn.
#[test]
fn a_plugin_that_closes_waits_until_its_gates_are_withdrawn() {
    let (plugin, broker) = connect();
    let providers = provide(&plugin, &broker, ["P.A", "P.B"]);
    providers.into_iter().for_each(Provider::keep);
    thread::scope(|scope| {
        let closed = scope.spawn(move || drop(plugin));
        let first = withdrawn(&broker);
        thread::sleep(QUIET);
        assert!(!closed.is_finished());
        agree(&broker, first);
        agree(&broker, withdrawn(&broker));
    });
    let (plugin, broker) = connect();
    let [provider] = provide(&plugin, &broker, ["P.A"]);
    provider.keep();
    let begun = Instant::now();
    drop(plugin);
    assert!(begun.elapsed() < Duration::from_secs(4), "of a silent one");
    withdrawn(&broker);
}
