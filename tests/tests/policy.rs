//! What plugins may do: refused at the grant, refused at the call, taken back at run time.
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

/// Where a provider's handlers run, and whether plugins of this process call it directly.
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

/// Waits until something holds that is on its way.
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// A plugin with a policy could do what the policy does not say.
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

/// A stranger joined a bus that was meant for few.
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

/// A plugin used up what all others needed.
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

/// Limits that were said, and not kept; or whose error told of the bus's limit instead.
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
    // One MiB is all there is, and a bit more would take two.
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
    // Others have what they need, also of whom the small one calls.
    for gate in ["One.Length", "Two.Length"] {
        let length = open::<(Vec<u8>,), u64>(&large, gate);
        assert_eq!(
            length.invoke((vec![0; 2 * most],)).unwrap(),
            2 * most as u64
        );
    }
}

/// One plugin that opens gates without end is ended by its own limit, not by everybody's.
#[test]
fn the_rate_of_requests_is_a_plugin_s_own() {
    let chatty = Policy::new().call("*").requests_per_second(5);
    let broker = start(|builder| builder.plugin("Chatty", chatty));
    let (chatty, other) = (plugin(&broker, "Chatty"), plugin(&broker, "Other"));
    // Of ten requests at once. The first opening is not counted, because it has nothing open yet, but its
    // closing is, so that the eleventh is an opening, which waits to be answered.
    chatty.list().unwrap();
    let ended = |plugin: &Plugin| {
        (0..1000).find_map(|n| code(plugin.subscriber::<(), ()>(&format!("Any.{n}"))))
    };
    assert_eq!(ended(&chatty), Some(Code::Overloaded));
    assert_eq!(ended(&other), None);
}

/// A plugin whose right was taken back went on calling.
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
            // From then on always; and as soon as the subscriber's side has heard of it, also where
            // it waits for the gate.
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

/// A gate that its plugin may not provide any more was still called.
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
        // The right alone does not bring the gate back, and who provides it anew is told what is in the way.
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
