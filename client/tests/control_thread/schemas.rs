//! The control thread stays responsive while schemas are decoded and compared.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Plugin};
use callgate_layout::control::{
    Availability, GateState, GateToBroker, GateToPlugin, SchemaToBroker, SchemaToPlugin, ToBroker,
    ToPlugin,
};
use callgate_layout::schema::{Body, Field, TypeDef};
use callgate_layout::sys::fdpass;
use callgate_layout::{Schema, Signature};

use crate::{Broker, PATIENCE, link, welcome};

/// Reads that a gate is opened; returns its number.
fn opened(broker: &Broker) -> u32 {
    broker.await_record(|record| match record {
        ToBroker::Gate(GateToBroker::Open { open, .. }) => Some(open),
        _ => None,
    })
}

/// Reports that a gate is provided with types other than its opener's.
fn differs(broker: &Broker, open: u32, schema: u64) {
    let state = GateState {
        owner: Some("S".into()),
        generation: schema,
        function: Availability::Differs {
            schema,
            signature: "(..)".into(),
            json: true,
        },
        action: Availability::Absent,
        route: None,
    };
    assert!(broker.send(&ToPlugin::Gate(GateToPlugin::State { open, state }), &[]));
}

/// A schema that takes long to compare: thousands of types, all of them different.
fn laborious() -> Vec<u8> {
    let count = 5_000_u32;
    let field = |name: &str, schema| Field {
        name: name.to_owned(),
        schema,
        default: false,
    };
    let types = (0..count).map(|me| {
        let next = match me {
            0 => Schema::Unit,
            _ => Schema::Named((me * 7 + 1) % count),
        };
        let fields = vec![
            field("n", Schema::Named((me + 1) % count)),
            field("m", next),
        ];
        TypeDef {
            name: String::new(),
            body: Body::Struct(fields),
        }
    });
    let signature = Signature {
        params: Some(vec![Schema::Named(0)]),
        result: Some(Schema::Unit),
        types: types.collect(),
    };
    signature.to_bytes().unwrap()
}

/// Answers fetches until a whole schema was sent.
fn give(broker: &Broker, bytes: &[u8]) {
    loop {
        let (request, offset) = broker.await_record(|record| match record {
            ToBroker::Schema(SchemaToBroker::Fetch {
                request, offset, ..
            }) => Some((request, offset as usize)),
            _ => None,
        });
        let end = bytes.len().min(offset + (16 << 10));
        let part = SchemaToPlugin::Part {
            request,
            total: bytes.len() as u32,
            bytes: bytes[offset..end].to_vec(),
        };
        assert!(broker.send(&ToPlugin::Schema(part), &[]));
        if end == bytes.len() {
            return;
        }
    }
}

/// Deaths are noticed while schemas are compared that take long, for several gates and one after the other. Otherwise
/// a provider's schema could block the control threads of its openers.
#[test]
fn deaths_are_heard_of_while_schemas_are_compared() {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let mut peer = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let plugin = thread::spawn(|| Plugin::builder("P").descriptor(theirs).connect());
    welcome(&broker);
    let plugin = plugin.join().unwrap().unwrap();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(), u64>("Peer.Gate"));
        link(&broker, peer.id());
        gate.join().unwrap().unwrap()
    });
    let gate = gate.with_timeout(PATIENCE);
    let (told, shown) = channel();
    thread::scope(|scope| {
        macro_rules! open {
            ($($argument:ty)*) => {
                [$({
                    let (told, plugin) = (told.clone(), &plugin);
                    scope.spawn(move || {
                        let gate = plugin.subscriber::<($argument,), ()>("S.G").unwrap();
                        told.send(gate.has_function()).unwrap();
                    });
                    opened(&broker)
                }),*]
            };
        }
        let opens = open!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);
        let call = scope.spawn(|| gate.invoke(()));
        opens.iter().for_each(|open| differs(&broker, *open, 5));
        give(&broker, &laborious());
        peer.kill().unwrap();
        peer.wait().unwrap();
        // Comparisons before the end of the peer do not count.
        let before = shown.try_iter().count();
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
        let meanwhile = shown.try_iter().count();
        assert!(meanwhile <= 6, "it waited for {meanwhile} comparisons");
        // None is forgotten.
        for _ in before + meanwhile..opens.len() {
            shown.recv_timeout(PATIENCE).unwrap();
        }
    });
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}
