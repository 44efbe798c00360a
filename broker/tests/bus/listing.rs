//! What `callgate ls` shows.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate::listing::{Encoding, Listing, PluginState, Transport};
use callgate_layout::Encodings;
use callgate_layout::control::{
    GateToBroker, GateToPlugin, SchemaSource, SessionToBroker, SessionToPlugin, Shape, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::pages::Status;
use callgate_layout::view::WriteView;

use crate::support::{Peer, bus, fingerprint, link, schema, shape};

/// Programs read this: a key that goes missing breaks them.
#[test]
fn a_listing_names_what_is_there() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let _linked = link(&mut caller, &mut provider, "g");
    assert_eq!(provider.provide("other", CallKind::Action, 9), None);
    caller.send(SessionToBroker::List { request: 5 });
    let Some((ToPlugin::Session(SessionToPlugin::Listing { request: 5 }), mut fds)) = caller.next()
    else {
        panic!("no listing");
    };
    let mut file = File::from(fds.pop().unwrap());
    assert!(
        std::io::Write::write(&mut file, b"x").is_err(),
        "it is sealed"
    );
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    let listing: Listing = serde_json::from_str(&text).unwrap();
    assert_eq!(listing.broker.pid, std::process::id());
    assert_eq!(listing.broker.socket.as_deref(), bus.broker.socket());
    assert_eq!(listing.broker.generation, 1);
    let names: Vec<&str> = listing.plugins.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["caller", "provider"]);
    let plugin = &listing.plugins[0];
    assert_eq!(
        (plugin.transport, plugin.state),
        (Transport::InProcess, PluginState::Ready)
    );
    let gate = &listing.gates[0];
    assert_eq!((gate.name.as_str(), gate.owner.as_str()), ("g", "provider"));
    assert_eq!(
        (gate.has_function, gate.has_action, gate.subscribers),
        (true, false, 1)
    );
    assert_eq!(gate.fingerprint, format!("{:032x}", fingerprint(7)));
    assert_eq!(listing.links[0].granted_bytes, 2 * 86016);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["plugins"][0]["transport"], "in-process");
    assert_eq!(value["gates"][1]["action_signature"], "(u32) -> T9");
    assert_eq!(value["gates"][0].get("action_signature"), None);
    assert_eq!(bus.broker.snapshot().unwrap().gates, listing.gates);
}

fn counters(peer: &mut Peer) -> Status {
    let page = peer.status.take().expect("a status page");
    Status::new(WriteView::new(page).expect("it is writable"))
}

/// A listing shows which entries are prefixes, and which callers call as JSON.
#[test]
fn prefixes_and_what_goes_as_json_are_listed() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    for (gate, encodings) in [("a.", Encodings::BOTH), ("g", Encodings::ARCHIVE)] {
        provider.send(GateToBroker::Provide {
            request: 1,
            gate: gate.into(),
            prefix: gate.ends_with('.'),
            kind: CallKind::Function,
            schema: SchemaSource::Inline(schema(7)),
            signature: "(u32)".into(),
            encodings,
            record: (gate == "a.").then_some(3),
            life: None,
        });
        let provided = provider.record();
        assert!(matches!(
            provided,
            ToPlugin::Gate(GateToPlugin::Provided { .. })
        ));
    }
    let wanted = || Shape {
        encodings: Encodings::BOTH,
        ..shape(9)
    };
    for (open, gate) in [(1, "a.x"), (2, "a.x"), (3, "g")] {
        caller.send(GateToBroker::Open {
            open,
            gate: gate.into(),
            function: wanted(),
            action: wanted(),
        });
    }
    let mut theirs = provider.mapped_outbox();
    let mut ours = caller.mapped_outbox();
    assert!(
        caller.state().route.is_none(),
        "of `g`, which takes no JSON"
    );
    provider.meet(&mut theirs);
    provider.install_grant();
    caller.meet(&mut ours);
    assert!(caller.state().route.is_some() && caller.state().route.is_some());
    counters(&mut provider).count_gate_json(3, true);
    counters(&mut caller).count_json_call();
    let listing = bus.broker.snapshot().unwrap();
    let [prefix, gate] = &listing.gates[..] else {
        panic!("{listing:?}");
    };
    assert_eq!((prefix.name.as_str(), prefix.prefix), ("a.", true));
    assert_eq!(prefix.encodings, [Encoding::Archive, Encoding::Json]);
    let counts = (prefix.subscribers, prefix.json_fallbacks, prefix.json_calls);
    assert_eq!(counts, (1, 2, 1));
    assert!(!gate.prefix && gate.encodings == [Encoding::Archive]);
    assert_eq!((gate.subscribers, gate.json_fallbacks), (1, 0));
    let made = listing.plugins.iter().map(|plugin| plugin.json_calls);
    assert_eq!(Vec::from_iter(made), [1, 0]);
    let value = serde_json::to_value(prefix).unwrap();
    assert_eq!(value["encodings"], serde_json::json!(["archive", "json"]));
}

/// Asks for a listing, and returns the file in which it came.
fn listed(peer: &mut Peer) -> u64 {
    let Some((ToPlugin::Session(SessionToPlugin::Listing { .. }), mut fds)) = peer.next() else {
        panic!("no listing");
    };
    let file = File::from(fds.pop().expect("it came with one"));
    file.metadata().expect("a file").ino()
}

/// Plugins that ask at the same time get the same listing: it is made once.
#[test]
fn who_asks_at_the_same_time_gets_the_same_listing() {
    let bus = bus();
    let mut peers: Vec<Peer> = (0..64).map(|n| bus.plugin(&format!("p{n}"))).collect();
    for peer in &peers {
        peer.send(SessionToBroker::List { request: 9 });
    }
    let files: BTreeSet<u64> = peers.iter_mut().map(listed).collect();
    assert!(files.len() <= 32, "{} listings for 64", files.len());
    // A listing counts only if it was begun after the plugin asked, however soon that is.
    for n in 0..10 {
        let peer = &mut peers[0];
        let gate = format!("new {n}");
        assert_eq!(peer.provide(&gate, CallKind::Function, 7), None);
        let listing = bus.broker.snapshot().unwrap();
        assert!(listing.gates.iter().any(|entry| entry.name == gate), "{n}");
    }
}

/// Large listings that some plugins ask for again and again do not delay the requests of others.
#[test]
fn large_listings_hold_nobody_up() {
    const PLUGINS: usize = 22;
    let bus = bus();
    let provider = |n: usize| {
        let mut provider = bus.plugin(&format!("provider {n}"));
        for gate in 0..1024 {
            let record = Some(gate % 128);
            let gate = format!("a gate with a name as long as most {n}.{gate}");
            let offered = provider.provide_counted(&gate, (CallKind::Function, 7), record);
            assert_eq!(offered, None);
        }
        provider
    };
    let _providers: Vec<Peer> = (0..PLUGINS).map(provider).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..4 {
            let (bus, stop) = (&bus, &stop);
            scope.spawn(move || {
                let mut peer = bus.plugin(&format!("asks {n}"));
                while !stop.load(Ordering::Relaxed) {
                    peer.send(SessionToBroker::List { request: 9 });
                    listed(&mut peer);
                }
            });
        }
        let mut other = bus.plugin("other");
        let begun = Instant::now();
        let mut times = Vec::new();
        while begun.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            let gate = format!("other {}", times.len());
            let _ = other.provide(&gate, CallKind::Function, 7);
            times.push(asked.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        times.sort_unstable();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{} requests: median {median:?}, worst {worst:?}",
            times.len()
        );
        assert!(median < Duration::from_millis(50), "{median:?}");
        assert!(worst < Duration::from_millis(1500), "{worst:?}");
    });
}
