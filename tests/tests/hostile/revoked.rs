//! A subscriber whose right was taken back, and which goes on calling: the provider refuses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callgate::{Broker, Policy};
use callgate_client::{Dispatch, Plugin, Provider};
use callgate_layout::Code;
use callgate_layout::control::{GateState, GateToBroker, GateToPlugin, ToPlugin};
use callgate_tests::pumped::Pumped;
use callgate_tests::raw::Raw;

use crate::words::{Entry, answer, code};

const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump];

/// An honest provider, and a subscriber that ignores `Revoke`.
struct Stage {
    broker: Broker,
    raw: Raw,
    /// How many times the handler has begun.
    runs: Arc<AtomicU64>,
    gate: Option<Provider>,
    provider: Pumped,
    _directory: tempfile::TempDir,
}

impl Stage {
    fn new(dispatch: Dispatch) -> Stage {
        let directory = tempfile::TempDir::new().expect("a directory");
        let socket = directory.path().join("bus.sock");
        let broker = Broker::builder().socket(&socket).start().expect("a broker");
        let connection = broker.connect().expect("a connection");
        let builder = Plugin::builder("anvil").descriptor(connection);
        let provider = builder.dispatch(dispatch).connect().expect("the bus");
        Stage {
            raw: Raw::join_at(&socket, "villain"),
            broker,
            runs: Arc::default(),
            gate: None,
            provider: Pumped::new(provider, dispatch),
            _directory: directory,
        }
    }

    /// Provides a gate that adds, in place of the present one.
    fn provide(&mut self) {
        self.gate = None;
        let runs = self.runs.clone();
        let gate = self.provider.provide("anvil.Add", move |a: u64, b: u64| {
            runs.fetch_add(1, Ordering::Relaxed);
            a + b
        });
        self.gate = Some(gate.expect("it is free"));
    }

    /// Provides another gate under the same name, which the subscriber may call, too.
    fn provide_other(&mut self) {
        self.gate = None;
        let gate = self.provider.provide("anvil.Add", |a: f64, b: f64| a + b);
        self.gate = Some(gate.expect("it is free"));
        self.raw.route_to::<(f64, f64), f64>("anvil.Add");
    }

    /// Opens the gate, runs `before`, takes the right to call away, runs `after`, and still calls by the index that
    /// it got first.
    fn play(mut self, before: impl FnOnce(&mut Stage, u32), after: impl FnOnce(&mut Stage)) {
        self.provide();
        let open = self.raw.open::<(u64, u64), u64>("anvil.Add");
        let route = self.raw.follow(|record| match record {
            ToPlugin::Gate(GateToPlugin::State {
                open: of,
                state: GateState { route, .. },
            }) if *of == open => *route,
            _ => None,
        });
        before(&mut self, open);
        let denied = self.broker.set_policy("villain", Some(Policy::new()));
        assert_eq!(denied.expect("the broker runs"), [""; 0], "all refuse it");
        after(&mut self);
        let link = self.raw.links.remove(&route.end).expect("it was set up");
        let mut sequence = 0;
        let mut call = || {
            sequence += 1;
            Entry::add(sequence, route.index).write(&link);
            let (reply, cell) = answer(&link, 0, sequence);
            (!reply.ok).then(|| code(&reply, &cell))
        };
        let runs = self.runs.load(Ordering::Relaxed);
        for _ in 0..100 {
            assert_eq!(call(), Some(Code::PermissionDenied));
        }
        assert_eq!(self.runs.load(Ordering::Relaxed), runs, "a handler ran");
    }
}

/// A subscriber that ignores the revocation is refused by the provider, not only by its own library.
#[test]
fn a_deaf_subscriber_is_refused_by_the_provider() {
    for mode in MODES {
        Stage::new(mode).play(|_, _| (), |_| ());
    }
}

/// An index also ends for a subscriber that has closed the gate before its right is taken back.
#[test]
fn a_subscriber_that_closed_the_gate_is_refused() {
    let close = |stage: &mut Stage, open| {
        stage.raw.send(GateToBroker::Close { open });
        // Another request is answered, so the broker has read the first.
        stage.raw.route_to::<(u64, u64), u64>("anvil.Add");
    };
    for mode in MODES {
        Stage::new(mode).play(close, |_| ());
    }
}

/// If the right to call is taken back while a gate is away, its old index does not lead to it when it comes back.
#[test]
fn a_gate_that_comes_back_is_refused() {
    for mode in MODES {
        Stage::new(mode).play(|stage, _| stage.gate = None, Stage::provide);
    }
}

/// If a gate changes its types and changes them back, all of its three indexes are refused.
#[test]
fn an_index_from_before_the_types_changed_is_refused() {
    let change = |stage: &mut Stage, _| {
        stage.provide_other();
        stage.provide();
        stage.raw.route_to::<(u64, u64), u64>("anvil.Add");
    };
    for mode in MODES {
        Stage::new(mode).play(change, |_| ());
    }
}
