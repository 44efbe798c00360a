//! A host that replaces the broker inside it, and tells its plugins to rejoin.

use std::time::Duration;

use callgate::{Broker, Policy};
use callgate_client::{Code, Plugin};
use callgate_tests::restart::{Standing, Told, events};
use callgate_tests::shorthand::{code, open};

fn broker() -> Broker {
    let broker = Broker::builder().without_socket().start();
    broker.expect("a broker")
}

fn join(broker: &Broker, name: &str, direct: bool) -> Plugin {
    let builder = Plugin::builder(name).descriptor(broker.connect().expect("a connection"));
    builder.direct_calls(direct).connect().expect("the bus")
}

/// Plugins of a host keep everything that they provide and have open when they rejoin.
#[test]
fn plugins_go_over_to_the_next_broker_of_their_host() {
    let mut old = broker();
    let plugins =
        [("A", false), ("B", true), ("C", false)].map(|(name, direct)| join(&old, name, direct));
    for plugin in &plugins {
        let gate = format!("{}.Add", plugin.name());
        plugin
            .provide(&gate, |a: u64, b: u64| a + b)
            .unwrap()
            .keep();
    }
    let c = &plugins[2];
    let told = plugins.each_ref().map(Told::by);
    let watches = ["A.Add", "B.Add"].map(|gate| c.watch(gate).unwrap());
    for watch in &watches {
        assert!(events(watch, Duration::ZERO).pop().unwrap().is_present());
    }
    let calls = ["A.Add", "B.Add"].map(|gate| {
        let add = open::<(u64, u64), u64>(c, gate);
        Standing::start(gate, move |n| {
            add.invoke((n, 1)).map(|sum| assert_eq!(sum, n + 1))
        })
    });
    // The old broker ends first, or the new one is started before.
    for is_first in [true, false, true] {
        let new = match is_first {
            true => {
                old.stop();
                let losses = told.each_ref().map(Told::lost);
                assert!(losses.iter().all(|why| why.code() == Code::BrokerGone));
                calls.iter().for_each(Standing::expect_progress);
                broker()
            }
            false => {
                let new = broker();
                drop(old);
                new
            }
        };
        for (plugin, told) in plugins.iter().zip(&told) {
            plugin.rejoin(new.connect().unwrap()).unwrap();
            if !is_first {
                told.lost();
            }
            told.back();
        }
        let late = join(&new, "Late", false);
        for gate in ["A.Add", "B.Add", "C.Add"] {
            let add = open::<(u64, u64), u64>(&late, gate);
            assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        }
        calls.iter().for_each(Standing::expect_progress);
        for watch in &watches {
            assert_eq!(events(watch, Duration::from_millis(100)), []);
        }
        old = new;
    }
    for calls in calls {
        calls.finish();
    }
}

/// A plugin that its new broker refuses stays with the old one.
#[test]
fn a_plugin_that_is_not_taken_in_stays_where_it_is() {
    let old = broker();
    let (a, b) = (join(&old, "A", false), join(&old, "B", false));
    a.provide("A.Gate", || 1_u8).unwrap().keep();
    let gate = open::<(), u8>(&b, "A.Gate");
    let told = [&a, &b].map(Told::by);
    // The plugin's own membership has the name.
    assert_eq!(code(a.rejoin(old.connect().unwrap())), Code::NameTaken);
    let strict = Broker::builder().without_socket().strict(true);
    let strict = strict.plugin("B", Policy::new().call("*")).start().unwrap();
    let refused = code(a.rejoin(strict.connect().unwrap()));
    assert_eq!(refused, Code::PermissionDenied);
    let (ours, theirs) = callgate_layout::sys::fdpass::pair().unwrap();
    drop(theirs);
    assert_eq!(code(a.rejoin(ours)), Code::BrokerGone);
    told.iter().for_each(Told::nothing_more);
    assert_eq!(gate.invoke(()).unwrap(), 1);
    a.provide("A.New", || 2_u8).unwrap().keep();
    assert_eq!(open::<(), u8>(&b, "A.New").invoke(()).unwrap(), 2);
    assert!(a.wait_closed_for(Duration::ZERO).is_none());
}

/// While two plugins are on different buses, their calls use the link that they already have.
#[test]
fn between_two_buses_old_links_go_on() {
    let (old, new) = (broker(), broker());
    let (a, b) = (join(&old, "A", false), join(&old, "B", false));
    a.provide("A.Gate", || 1_u8).unwrap().keep();
    let gate = open::<(), u8>(&b, "A.Gate");
    let watch = b.watch("A.Gate").unwrap();
    assert!(events(&watch, Duration::ZERO).pop().unwrap().is_present());
    b.rejoin(new.connect().unwrap()).unwrap();
    assert_eq!(gate.invoke(()).unwrap(), 1);
    assert_eq!(events(&watch, Duration::from_millis(300)), []);
    a.rejoin(new.connect().unwrap()).unwrap();
    assert_eq!(gate.invoke(()).unwrap(), 1);
    assert_eq!(events(&watch, Duration::from_millis(300)), []);
    drop(old);
    assert_eq!(gate.invoke(()).unwrap(), 1);
    drop(a);
    let event = watch.next(callgate_tests::PATIENCE).unwrap().unwrap();
    assert!(!event.is_present());
}
