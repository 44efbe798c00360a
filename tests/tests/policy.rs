//! What plugins may do: refused when a gate is granted, refused when it is called, and taken back while they run.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use callgate::{Broker, Builder, Policy};
use callgate_client::{Code, Dispatch, Plugin, Result, View};
use callgate_tests::PATIENCE;
use callgate_tests::pumped::Pumped;
use callgate_tests::shorthand::open;

fn start(change: impl FnOnce(Builder) -> Builder) -> Broker {
    let builder = change(Broker::builder().without_socket());
    builder.start().expect("a broker")
}

fn connect(broker: &Broker, name: &str) -> Result<Plugin> {
    let connection = broker.connect().expect("a connection");
    let builder = Plugin::builder(name).descriptor(connection);
    builder.direct_calls(false).connect()
}

fn plugin(broker: &Broker, name: &str) -> Plugin {
    connect(broker, name).expect("it may take part")
}

/// How a provider runs its handlers, and whether plugins of this process call it directly.
const MODES: [(Dispatch, bool); 5] = [
    (Dispatch::Thread, false),
    (Dispatch::Pool(2), false),
    (Dispatch::Pump, false),
    (Dispatch::Thread, true),
    (Dispatch::Pool(2), true),
];

fn provider(broker: &Broker, name: &str, (dispatch, direct): (Dispatch, bool)) -> Pumped {
    let connection = broker.connect().expect("a connection");
    let builder = Plugin::builder(name).descriptor(connection);
    let builder = builder.dispatch(dispatch).direct_calls(direct);
    Pumped::new(builder.connect().expect("it may take part"), dispatch)
}

fn code<T>(outcome: Result<T>) -> Option<Code> {
    outcome.err().map(|error| error.code())
}

/// Waits until something holds that takes a moment.
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// A plugin may do only what its policy says.
#[test]
fn a_plugin_does_what_its_policy_says_and_nothing_else() {
    let rack = Policy::new().provide("Rack.*").call("Mixer.Level");
    let broker = start(|builder| builder.plugin("Rack", rack));
    let (rack, mixer) = (plugin(&broker, "Rack"), plugin(&broker, "Mixer"));
    let _level = mixer.provide("Mixer.Level", |n: u64| n).unwrap();
    let _mute = mixer.provide("Mixer.Mute", |n: u64| n).unwrap();
    let _filter = rack.provide("Rack.Filter", |n: u64| n + 1).unwrap();
    let error = rack.provide("Mixer.Pan", |n: u64| n).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    for word in ["Rack", "gate.provide", "Mixer.Pan"] {
        assert!(error.to_string().contains(word), "{word} in {error}");
    }
    let level = open::<(u64,), u64>(&rack, "Mixer.Level");
    assert_eq!(level.invoke((1,)).unwrap(), 1);
    let error = rack
        .subscriber::<(u64,), u64>("Mixer.Mute")
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.to_string().contains("gate.call:Mixer.Mute"));
    assert_eq!(code(rack.watch("Mixer.Mute")), Some(Code::PermissionDenied));
    // Without a policy everything is allowed.
    let filter = open::<(u64,), u64>(&mixer, "Rack.Filter");
    assert_eq!(filter.invoke((1,)).unwrap(), 2);
}

/// A strict bus refuses plugins without a policy.
#[test]
fn a_strict_bus_refuses_plugins_without_a_policy() {
    let broker = start(|builder| {
        let all = Policy::new().provide("*").call("*");
        builder.strict(true).plugin("Known-*", all)
    });
    let error = connect(&broker, "Stranger").map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    for word in [
        "`Stranger`",
        "--policy",
        "`Builder::plugin`",
        "`Broker::set_policy`",
    ] {
        assert!(error.message().contains(word), "{word}: {error}");
    }
    let known = plugin(&broker, "Known-1");
    let _gate = known.provide("Known.Gate", |n: u64| n).unwrap();
    broker.set_policy("Known-*", None).unwrap();
    let error = known.wait_closed_for(PATIENCE).expect("it is sent away");
    assert_eq!(error.code(), Code::PermissionDenied);
}

/// A plugin that uses up its own limits leaves the others theirs.
#[test]
fn limits_are_a_plugin_s_own() {
    let small = Policy::new().provide("*").call("*").gates(1).opens(2);
    let broker = start(|builder| builder.plugin("Small", small));
    let (small, large) = (plugin(&broker, "Small"), plugin(&broker, "Large"));
    assert_eq!((small.limits().gates, small.limits().opens), (1, 2));
    let _one = small.provide("Small.One", || ()).unwrap();
    let two = small.provide("Small.Two", || ());
    assert_eq!(code(two), Some(Code::Overloaded));
    let _opens: Vec<_> = (0..2)
        .map(|n| small.subscriber::<(), ()>(&format!("Large.{n}")).unwrap())
        .collect();
    let third = small.subscriber::<(), ()>("Large.2");
    assert_eq!(code(third), Some(Code::Overloaded));
    let _gates: Vec<_> = (0..3)
        .map(|n| large.provide(&format!("Large.{n}"), || ()).unwrap())
        .collect();
}

/// Limits on links and memory are kept, and an error names the plugin's own limit.
#[test]
fn limits_of_links_and_memory_are_a_plugin_s_own() {
    let small = Policy::new().call("*").links(1).extent_mib(1);
    let broker = start(|builder| builder.plugin("Small", small));
    let (small, large) = (plugin(&broker, "Small"), plugin(&broker, "Large"));
    assert_eq!((small.limits().links, small.limits().extent_mib), (1, 1));
    let (one, two) = (plugin(&broker, "One"), plugin(&broker, "Two"));
    let length = |bytes: View<'_, Vec<u8>>| bytes.len() as u64;
    let _one = one.provide("One.Length", length).unwrap();
    let _two = two.provide("Two.Length", length).unwrap();
    let length = open::<(Vec<u8>,), u64>(&small, "One.Length");
    // The limit is one MiB, and a little more would take two.
    let most = 1_000_000;
    assert_eq!(length.invoke((vec![0; most],)).unwrap(), most as u64);
    let error = length.invoke((vec![0; 2 * most],)).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(error.to_string().contains("the 1 MiB"), "{error}");
    assert_eq!(length.invoke((vec![0; most],)).unwrap(), most as u64);
    let error = small.subscriber::<(Vec<u8>,), u64>("Two.Length");
    let error = error.map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(error.to_string().contains("has 1 links"), "{error}");
    // The others get what they need, including those that the small plugin calls.
    for gate in ["One.Length", "Two.Length"] {
        let length = open::<(Vec<u8>,), u64>(&large, gate);
        assert_eq!(
            length.invoke((vec![0; 2 * most],)).unwrap(),
            2 * most as u64
        );
    }
}

/// A plugin that opens gates without end meets its own rate limit, not that of the bus.
#[test]
fn the_rate_of_requests_is_a_plugin_s_own() {
    let chatty = Policy::new().call("*").requests_per_second(5);
    let broker = start(|builder| builder.plugin("Chatty", chatty));
    let (chatty, other) = (plugin(&broker, "Chatty"), plugin(&broker, "Other"));
    // Ten requests at once are allowed. The first opening is not counted, because the plugin has nothing open yet.
    // Its closing is. So the eleventh request is an opening, which waits for its answer.
    chatty.list().unwrap();
    let ended = |plugin: &Plugin| {
        (0..1000).find_map(|n| code(plugin.subscriber::<(), ()>(&format!("Any.{n}"))))
    };
    assert_eq!(ended(&chatty), Some(Code::Overloaded));
    assert_eq!(ended(&other), None);
}

/// A plugin whose right to call is taken back is refused, and may call when it has the right again.
#[test]
fn a_right_to_call_is_taken_back_and_given_again() {
    for mode in MODES {
        let broker = start(|builder| builder);
        let caller = plugin(&broker, "Caller");
        let provider = provider(&broker, "Provider", mode);
        let _gate = provider.provide("Provider.Gate", |n: u64| n + 1).unwrap();
        let _other = provider.provide("Provider.Other", |n: u64| n + 2).unwrap();
        let gate = open::<(u64,), u64>(&caller, "Provider.Gate");
        let other = open::<(u64,), u64>(&caller, "Provider.Other");
        for _ in 0..20 {
            assert_eq!(gate.invoke((1,)).unwrap(), 2);
            let only_other = Policy::new().call("Provider.Other");
            broker.set_policy("Caller", Some(only_other)).unwrap();
            await_that("it is refused", || {
                code(gate.invoke((1,))) == Some(Code::PermissionDenied)
            });
            // The provider refuses at once. The subscriber's side refuses as soon as it has been told, also while it
            // waits for the gate.
            assert_eq!(code(gate.invoke((1,))), Some(Code::PermissionDenied));
            await_that("nobody waits for it", || {
                code(gate.wait_ready(PATIENCE)) == Some(Code::PermissionDenied)
            });
            assert_eq!(code(gate.invoke((1,))), Some(Code::PermissionDenied));
            assert_eq!(other.invoke((1,)).unwrap(), 3);
            broker.set_policy("Caller", None).unwrap();
            await_that("it is allowed", || gate.invoke((1,)).is_ok());
        }
    }
}

/// A gate that its plugin may no longer provide is not called.
#[test]
fn a_right_to_provide_is_taken_back() {
    for mode in MODES {
        let broker = start(|builder| builder);
        let caller = plugin(&broker, "Caller");
        let provider = provider(&broker, "Provider", mode);
        let held = provider.provide("Provider.Gate", |n: u64| n + 1).unwrap();
        let gate = open::<(u64,), u64>(&caller, "Provider.Gate");
        assert_eq!(gate.invoke((1,)).unwrap(), 2);
        broker.set_policy("Provider", Some(Policy::new())).unwrap();
        await_that("it is gone", || {
            matches!(
                code(gate.invoke((1,))),
                Some(Code::NotReady | Code::PermissionDenied)
            )
        });
        await_that("its subscriber has heard of it", || {
            code(gate.wait_ready(Duration::from_millis(1))) == Some(Code::NotReady)
        });
        let again = provider.provide("Provider.New", |n: u64| n);
        assert_eq!(code(again), Some(Code::PermissionDenied));
        // Giving the right back does not bring the gate back. A plugin that provides it again is told what is in the
        // way.
        broker.set_policy("Provider", None).unwrap();
        assert_eq!(code(gate.invoke((1,))), Some(Code::NotReady));
        let again = provider.provide("Provider.Gate", |n: u64| n + 2);
        let error = again.map(drop).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyProvided);
        let what = "still holds the `Provider` of a gate that ended";
        assert!(error.message().contains(what), "{error}");
        drop(held);
        let _gate = provider.provide("Provider.Gate", |n: u64| n + 2).unwrap();
        assert_eq!(gate.invoke((1,)).unwrap(), 3);
    }
}
