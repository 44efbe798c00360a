//! Plugins that come back to a new broker.

use std::time::Instant;

use callgate::Policy;
use callgate_layout::control::{
    BrokerFacts, GateToBroker, GateToPlugin, LinkToBroker, LinkToPlugin, SchemaSource,
    SessionToBroker, SessionToPlugin, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings};

use crate::hostile::is_well;
use crate::support::{Bus, PATIENCE, Peer, bus, bus_with, code_of, eventually, schema};

fn offer(request: u32, gate: &str, kind: CallKind, life: Option<u64>) -> GateToBroker {
    GateToBroker::Provide {
        request,
        gate: gate.into(),
        prefix: false,
        kind,
        schema: SchemaSource::Inline(schema(7)),
        signature: "(u32)".into(),
        encodings: Encodings::ARCHIVE,
        record: None,
        life,
    }
}

/// Says hello. Returns the number of the bus, that of the plugin, and the facts about the broker.
fn facts(bus: &Bus, name: &str) -> (u64, u64, BrokerFacts) {
    let mut peer = bus.connect();
    peer.hello(name);
    let welcome = peer.record();
    let ToPlugin::Session(SessionToPlugin::Welcome {
        bus,
        plugin,
        broker,
        ..
    }) = welcome
    else {
        panic!("no welcome: {welcome:?}");
    };
    (bus, plugin, broker)
}

/// The life of the gate that a plugin provides by this request, or the other plugin that provides it.
fn life(peer: &mut Peer, request: u32) -> Result<u64, String> {
    match peer.record() {
        ToPlugin::Gate(GateToPlugin::Provided { request: of, life }) if of == request => Ok(life),
        ToPlugin::Gate(GateToPlugin::Lost { request: of, owner }) if of == request => Err(owner),
        other => panic!("no answer to {request}: {other:?}"),
    }
}

/// A welcome names its broker, so that a plugin does not take a broker that a service manager has started for the one
/// before, or a number of one for a number of the other.
#[test]
fn a_welcome_says_which_broker_it_is() {
    let (one, other) = (bus(), bus());
    let (first, second) = (facts(&one, "a"), facts(&other, "a"));
    let listed = one.broker.snapshot().unwrap().broker;
    let BrokerFacts { pid, generation } = first.2;
    assert_eq!((pid, generation), (listed.pid, listed.generation));
    assert_eq!(pid, std::process::id());
    assert_eq!(generation, 1);
    assert!(
        first.0 != second.0 && first.1 != second.1,
        "{first:?} {second:?}"
    );
}

/// A gate whose provider stays keeps its life with the next broker, so a watch does not report that it has gone and
/// come back.
#[test]
fn a_gate_keeps_its_life_with_the_next_broker() {
    let before = bus();
    let mut provider = before.plugin("provider");
    provider.send(offer(1, "g", CallKind::Function, None));
    let had = life(&mut provider, 1).unwrap();
    drop(before);
    let now = bus();
    let (mut provider, mut other) = (now.plugin("provider"), now.plugin("other"));
    for (request, kind) in [(1, CallKind::Function), (2, CallKind::Action)] {
        provider.send(offer(request, "g", kind, Some(had)));
        assert_eq!(life(&mut provider, request), Ok(had));
    }
    other.send(offer(5, "g", CallKind::Function, Some(had)));
    assert_eq!(life(&mut other, 5), Err("provider".into()));
    drop(provider);
    let next = life(&mut other, 5).unwrap();
    assert!(next > had, "{next} after {had}");
    is_well(&now);
}

/// A plugin that comes back with everything that it may have keeps its session, even if it may make few requests a
/// second.
#[test]
fn a_plugin_at_its_limits_comes_back() {
    let policy = Policy::new().provide("*").call("*");
    let policy = policy.requests_per_second(1).gates(1024).opens(4096);
    let bus = bus_with(|builder| builder.plugin("a", policy));
    let mut peer = bus.plugin("a");
    for number in 0..200 {
        peer.send(LinkToBroker::Standing {
            number,
            peer: format!("peer {number}"),
            gates: (0..300).map(|gate| format!("gate {gate}")).collect(),
        });
    }
    for gate in 0..1024 {
        for (half, kind) in [(0, CallKind::Function), (1, CallKind::Action)] {
            let request = 2 * gate + half;
            peer.send(offer(request, &format!("gate {gate}"), kind, Some(5)));
        }
    }
    for open in 0..4096 {
        peer.open(open, "somebody's", 7);
    }
    let (mut refuses, mut provided, mut states) = (0, 0, 0);
    while (refuses, provided, states) != (200, 2048, 4096) {
        match peer.record() {
            ToPlugin::Link(LinkToPlugin::Refuse { number, gates }) => {
                assert!(gates.is_empty());
                peer.send(LinkToBroker::Refused { number });
                refuses += 1;
            }
            ToPlugin::Gate(GateToPlugin::Provided { life: 5, .. }) => provided += 1,
            ToPlugin::Gate(GateToPlugin::State { .. }) => states += 1,
            other => panic!("{refuses} {provided} {states}: {other:?}"),
        }
    }
    peer.send(SessionToBroker::Drained);
    is_well(&bus);
    // From here on all its requests count.
    for open in 0..9 {
        peer.send(GateToBroker::Close { open });
    }
    assert_eq!(code_of(&peer.ended()), Code::Overloaded);
}

/// The listing shows which plugins still drain links of the broker before.
#[test]
fn who_drains_is_listed_so() {
    let bus = bus();
    let mut peer = bus.plugin("a");
    let is_draining = || bus.broker.snapshot().unwrap().plugins[0].draining;
    assert!(!is_draining());
    peer.send(LinkToBroker::Standing {
        number: 7,
        peer: "b".into(),
        gates: Vec::new(),
    });
    let ToPlugin::Link(LinkToPlugin::Refuse { number: 7, .. }) = peer.record() else {
        panic!("no answer");
    };
    peer.send(LinkToBroker::Refused { number: 7 });
    assert!(is_draining());
    peer.send(SessionToBroker::Drained);
    eventually("it has drained", || !is_draining());
}

/// All plugins of a bus come back to a new broker at the same moment: none is refused, and none is late.
#[test]
fn a_whole_bus_comes_back_at_once() {
    const PLUGINS: u32 = 250;
    const EACH: u32 = 20;
    let bus = bus();
    let mut peers: Vec<Peer> = (0..PLUGINS).map(|_| bus.connect()).collect();
    let begun = Instant::now();
    for (peer, n) in peers.iter_mut().zip(0..) {
        peer.hello(&format!("p{n}"));
    }
    for (peer, n) in peers.iter_mut().zip(0u32..) {
        let welcome = peer.record();
        let is_welcome = matches!(welcome, ToPlugin::Session(SessionToPlugin::Welcome { .. }));
        assert!(is_welcome, "{welcome:?}");
        peer.send(SessionToBroker::StatusMapped);
        for number in 0..EACH {
            peer.send(LinkToBroker::Standing {
                number,
                peer: format!("p{}", (n + number) % PLUGINS),
                gates: (0..EACH).map(|gate| format!("p{n}.{gate}")).collect(),
            });
        }
        for request in 0..EACH {
            let gate = format!("p{n}.{request}");
            peer.send(offer(request, &gate, CallKind::Function, Some(9)));
        }
    }
    for peer in &mut peers {
        let (mut refuses, mut provided) = (0, 0);
        while (refuses, provided) != (EACH, EACH) {
            match peer.record() {
                ToPlugin::Link(LinkToPlugin::Refuse { number, .. }) => {
                    peer.send(LinkToBroker::Refused { number });
                    refuses += 1;
                }
                ToPlugin::Gate(GateToPlugin::Provided { .. }) => provided += 1,
                other => panic!("{refuses} {provided}: {other:?}"),
            }
        }
    }
    let took = begun.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    is_well(&bus);
}
