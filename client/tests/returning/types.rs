//! Gates whose types differ, and a broker that sends the schemas late, wrong, or not at all.

use std::thread;
use std::time::Duration;

use callgate_client::{Arguments, Code, GateType, Plugin, Subscriber, signature_of};
use callgate_layout::control::{
    Availability, Failure, GateState, GateToBroker, GateToPlugin, SchemaToBroker, SchemaToPlugin,
    SessionToPlugin, ToBroker,
};

use crate::fake::{Broker, Came, PATIENCE, QUIET, connect, rejoin};

/// A request for a part of a schema.
struct Fetch {
    request: u32,
    schema: u64,
    offset: u32,
}

impl Broker {
    /// Reads that a gate is opened; returns its number.
    fn opened(&self) -> u32 {
        match self.record() {
            ToBroker::Gate(GateToBroker::Open { open, .. }) => open,
            other => panic!("it opens nothing: {other:?}"),
        }
    }

    /// Reports that a gate is there with other types, and that there is no way to it.
    fn differs(&self, open: u32, schema: u64) {
        let state = GateState {
            owner: Some("S".to_owned()),
            generation: schema,
            function: Availability::Differs {
                schema,
                signature: "(u64) -> u64".to_owned(),
                json: true,
            },
            action: Availability::Absent,
            route: None,
        };
        self.send(GateToPlugin::State { open, state }, &[]);
    }

    fn fetches(&self) -> Fetch {
        match self.record() {
            ToBroker::Schema(SchemaToBroker::Fetch {
                request,
                schema,
                offset,
                ..
            }) => Fetch {
                request,
                schema,
                offset,
            },
            other => panic!("it fetches nothing: {other:?}"),
        }
    }

    fn part(&self, request: u32, total: usize, bytes: &[u8]) {
        let part = SchemaToPlugin::Part {
            request,
            total: total as u32,
            bytes: bytes.to_vec(),
        };
        self.send(part, &[]);
    }

    /// Answers the fetch of a schema.
    fn gives<A: Arguments, R: GateType>(&self, schema: u64) {
        let bytes = signature_of::<A, R>().to_bytes().unwrap();
        let fetch = self.fetches();
        assert_eq!((fetch.schema, fetch.offset), (schema, 0));
        self.part(fetch.request, bytes.len(), &bytes);
    }
}

type Gate = Subscriber<(u32,), u32>;

/// A gate that is opened while nobody provides it.
fn opened(plugin: &Plugin, broker: &Broker) -> (Gate, u32) {
    thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(u32,), u32>("S.G").unwrap());
        let open = broker.opens();
        (gate.join().unwrap(), open)
    })
}

/// Opening a gate with other types waits until they were compared. Until then it is neither absent nor callable.
#[test]
fn opening_waits_for_the_types() {
    let (plugin, broker) = connect();
    let bytes = signature_of::<(u64,), u64>().to_bytes().unwrap();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(u32,), u32>("S.G").unwrap());
        broker.differs(broker.opened(), 5);
        let first = broker.fetches();
        assert_eq!((first.schema, first.offset), (5, 0));
        broker.part(first.request, bytes.len(), &bytes[..7]);
        let second = broker.fetches();
        assert_eq!((second.schema, second.offset), (5, 7));
        thread::sleep(QUIET);
        assert!(!gate.is_finished(), "it is not known yet");
        broker.part(second.request, bytes.len(), &bytes[7..]);
        gate.join().unwrap()
    });
    assert!(gate.is_converted() && gate.has_function());
    // A second gate with the same types needs nothing more.
    let again = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(u32,), u32>("S.G").unwrap());
        broker.differs(broker.opened(), 5);
        gate.join().unwrap()
    });
    assert!(again.is_converted());
}

/// A call that asks for its gate's state waits until the types were compared.
#[test]
fn a_call_that_asks_waits_for_the_types() {
    let (plugin, broker) = connect();
    let (gate, open) = opened(&plugin, &broker);
    thread::scope(|scope| {
        let call = scope.spawn(|| gate.with_timeout(PATIENCE).invoke((1,)));
        assert_eq!(broker.record(), GateToBroker::Sync { open }.into());
        broker.differs(open, 6);
        broker.send(GateToPlugin::Synced { open }, &[]);
        let fetch = broker.fetches();
        thread::sleep(QUIET);
        assert!(!call.is_finished(), "it is not told yet");
        let bytes = signature_of::<(String,), u32>().to_bytes().unwrap();
        broker.part(fetch.request, bytes.len(), &bytes);
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
        assert_eq!(error.context().unwrap()["path"], "arguments[0]");
    });
}

#[test]
fn the_next_broker_is_asked_where_one_ends_in_between() {
    let (plugin, broker) = connect();
    let (gate, open) = opened(&plugin, &broker);
    broker.differs(open, 5);
    let fetch = broker.fetches();
    assert_eq!(fetch.schema, 5);
    drop(broker);
    // The next broker has its own numbers: 5 is another schema there.
    let next = rejoin(&plugin, 2, 1);
    next.differs(next.opened(), 5);
    next.gives::<(String,), u32>(5);
    next.await_reader();
    assert!(!gate.is_converted() && gate.has_function());
    thread::scope(|scope| {
        let wait = scope.spawn(|| gate.wait_ready(PATIENCE));
        let ToBroker::Gate(GateToBroker::Sync { open }) = next.record() else {
            panic!("the wait asks before it begins");
        };
        next.send(GateToPlugin::Synced { open }, &[]);
        let error = wait.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
    });
}

/// Whether a question has come.
fn asked(broker: &Broker) -> bool {
    matches!(
        broker.read(QUIET),
        Came::Record(ToBroker::Gate(GateToBroker::Sync { .. }))
    )
}

#[test]
fn who_waits_is_told_that_the_types_did_not_come() {
    let (plugin, broker) = connect();
    let (gate, open) = opened(&plugin, &broker);
    broker.differs(open, 5);
    broker.fetches();
    let short = Duration::from_millis(600);
    let error = gate.wait_ready(short).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "{error}");
    assert!(error.message().contains("broker"), "{error}");
    assert!(!gate.has_function(), "it stands as it did");
}

#[test]
fn parts_that_do_not_fit_fail_the_gate_and_not_the_session() {
    let (plugin, broker) = connect();
    let (gate, open) = opened(&plugin, &broker);
    broker.differs(open, 5);
    let fetch = broker.fetches();
    broker.part(fetch.request + 1, 3, b"abc");
    broker.part(fetch.request, 2, b"abc");
    broker.await_reader();
    let call = || {
        thread::scope(|scope| {
            let call = scope.spawn(|| gate.with_timeout(PATIENCE).invoke((1,)));
            if asked(&broker) {
                broker.send(GateToPlugin::Synced { open }, &[]);
            }
            call.join().unwrap().unwrap_err()
        })
    };
    assert_eq!(call().code(), Code::Protocol);
    // A schema that is invalid is the provider's fault.
    broker.differs(open, 6);
    let fetch = broker.fetches();
    broker.part(fetch.request, 3, b"abc");
    broker.await_reader();
    let error = call();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("plugin `S`"), "{error}");
    // If the broker refuses to send a schema, its reason is passed on.
    broker.differs(open, 7);
    let request = broker.fetches().request;
    let failure = Some(Failure::new(Code::PermissionDenied, "it may not be seen"));
    broker.send(SessionToPlugin::Answer { request, failure }, &[]);
    broker.await_reader();
    assert_eq!(call().code(), Code::PermissionDenied);
    broker.differs(open, 8);
    broker.gives::<(u64,), u64>(8);
    broker.await_reader();
    assert!(gate.is_converted());
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}
