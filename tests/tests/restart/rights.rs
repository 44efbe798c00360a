//! A new broker with another policy: what it does not grant ends on old links, too.

use std::path::Path;
use std::time::{Duration, Instant};

use callgate::{Broker, Policy};
use callgate_client::{Code, Plugin};
use callgate_tests::restart::{Standing, Told};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{PATIENCE, Process, programs};

/// Within this time a right must be gone, on a busy machine. The aim is 100 ms.
const SOON: Duration = Duration::from_secs(2);

/// A bus whose broker gets another policy each time.
struct Bus {
    place: tempfile::TempDir,
    broker: Option<Process>,
}

impl Bus {
    fn start(strict: bool, plugins: &serde_json::Value) -> Bus {
        let place = tempfile::tempdir().expect("a directory");
        let mut bus = Bus {
            place,
            broker: None,
        };
        bus.restart(strict, plugins);
        bus
    }

    fn restart(&mut self, strict: bool, plugins: &serde_json::Value) {
        self.broker = None;
        let file = self.place.path().join("policy.json");
        let policy = serde_json::json!({ "plugins": plugins });
        std::fs::write(&file, policy.to_string()).expect("a file");
        let file = file.to_str().expect("a plain path");
        let mut arguments = vec!["serve", "--policy", file];
        arguments.extend(strict.then_some("--strict"));
        let mut broker = Process::start(programs!().program, &arguments, &self.socket());
        broker.expect_line();
        self.broker = Some(broker);
    }

    fn socket(&self) -> std::path::PathBuf {
        self.place.path().join("bus.sock")
    }

    fn plugin(&self, name: &str) -> Plugin {
        plugin(&self.socket(), name)
    }

    fn peer(&self, role: &str, name: &str) -> Process {
        let mut peer = Process::start(programs!().peer, &[role, name], &self.socket());
        assert_eq!(peer.expect_line(), "ready");
        peer
    }
}

fn plugin(socket: &Path, name: &str) -> Plugin {
    let builder = Plugin::builder(name).socket(socket);
    builder.direct_calls(false).connect().expect("the bus")
}

fn all() -> serde_json::Value {
    serde_json::json!({ "capabilities": ["gate.provide:*", "gate.call:*"] })
}

fn only(capabilities: &[&str]) -> serde_json::Value {
    serde_json::json!({ "capabilities": capabilities })
}

/// A right that the new broker does not grant cannot be used over an old link.
#[test]
fn what_the_new_broker_does_not_grant_is_refused_on_old_links_too() {
    let everybody = serde_json::json!({ "P": all(), "Caller": all(), "Other": all() });
    let mut bus = Bus::start(true, &everybody);
    let _p = bus.peer("provider", "P");
    let (caller, other) = (bus.plugin("Caller"), bus.plugin("Other"));
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let others = open::<(u64, u64), u64>(&other, "P.Add");
    let told = Told::by(&caller);
    let (allowed, its) = (echo.clone(), others.clone());
    let calls = [
        Standing::start("P.Echo", move |_| allowed.invoke((vec![1],)).map(drop)),
        Standing::start("P.Add of Other", move |_| its.invoke((1, 2)).map(drop)),
    ];
    let few =
        serde_json::json!({ "P": all(), "Caller": only(&["gate.call:P.Echo"]), "Other": all() });
    bus.restart(true, &few);
    let there = Instant::now();
    await_that("the right is gone", || {
        add.invoke((1, 2))
            .is_err_and(|error| error.code() == Code::PermissionDenied)
    });
    let took = there.elapsed();
    println!("the right was gone {took:?} after the new broker was there");
    assert!(took < SOON, "{took:?}");
    told.lost();
    told.back();
    for _ in 0..50 {
        assert_eq!(code(add.invoke((1, 2))), Code::PermissionDenied);
    }
    assert_eq!(
        code(caller.subscriber::<(u64,), ()>("P.Sleep")),
        Code::PermissionDenied
    );
    for calls in calls {
        calls.expect_progress();
        calls.finish();
    }
    // And back again. A waiting caller is not told what an older broker has said.
    bus.restart(true, &everybody);
    told.lost();
    add.wait_ready(PATIENCE).unwrap();
    await_that("it is granted again", || {
        add.invoke((1, 2)).is_ok_and(|sum| sum == 3)
    });
    assert!(echo.invoke((vec![1],)).unwrap() == [1]);
    assert_eq!(others.invoke((1, 2)).unwrap(), 3);
}

/// A gate that its plugin may no longer provide is not called over old links.
#[test]
fn who_may_not_provide_any_more_is_not_called_over_old_links() {
    let everybody = serde_json::json!({ "P": all(), "Caller": all() });
    let mut bus = Bus::start(true, &everybody);
    let (provider, caller) = (bus.plugin("P"), bus.plugin("Caller"));
    provider.provide("P.Gate", || 1_u8).unwrap().keep();
    provider.provide("P.Kept", || 2_u8).unwrap().keep();
    let gate = open::<(), u8>(&caller, "P.Gate").with_timeout(Duration::from_millis(200));
    let kept = open::<(), u8>(&caller, "P.Kept");
    let few = serde_json::json!({ "P": only(&["gate.provide:P.Kept"]), "Caller": all() });
    let told = [&provider, &caller].map(Told::by);
    bus.restart(true, &few);
    for told in &told {
        told.lost();
        told.back();
    }
    await_that("nobody provides it", || gate.invoke(()).is_err());
    assert_eq!(kept.invoke(()).unwrap(), 2);
    for _ in 0..20 {
        let code = code(gate.invoke(()));
        assert!(
            [Code::NotReady, Code::PermissionDenied].contains(&code),
            "{code}"
        );
    }
}

/// A policy that changes while old links drain holds for them, too.
#[test]
fn a_policy_that_changes_while_plugins_drain_holds_for_old_links() {
    let start = || Broker::builder().without_socket().start().unwrap();
    let old = start();
    let connect = |broker: &Broker, name: &str| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.direct_calls(false).connect().unwrap()
    };
    let (provider, caller) = (connect(&old, "P"), connect(&old, "Caller"));
    for gate in ["P.Gate", "P.Other"] {
        provider.provide(gate, || 1_u8).unwrap().keep();
    }
    let gates = ["P.Gate", "P.Other"].map(|gate| open::<(), u8>(&caller, gate));
    let new = start();
    drop(old);
    // The caller knows only the old bus, so all its calls use the old link.
    provider.rejoin(new.connect().unwrap()).unwrap();
    for gate in &gates {
        assert_eq!(gate.invoke(()).unwrap(), 1);
    }
    let only = Policy::new().call("P.Other").provide("*");
    let missing = new.set_policy("Caller", Some(only)).unwrap();
    assert_eq!(missing, [""; 0]);
    // After this returns, no call runs whose right was taken back.
    let short = gates[0].with_timeout(Duration::from_millis(100));
    let code = code(short.invoke(()));
    assert!(
        [Code::PermissionDenied, Code::BrokerGone].contains(&code),
        "{code}"
    );
    assert_eq!(gates[1].invoke(()).unwrap(), 1);
    caller.rejoin(new.connect().unwrap()).unwrap();
    assert_eq!(
        callgate_tests::shorthand::code(gates[0].invoke(())),
        Code::PermissionDenied
    );
    assert_eq!(gates[1].invoke(()).unwrap(), 1);
}

/// A plugin that a strict bus no longer knows is refused for good, and does not try again for ever.
#[test]
fn who_is_not_let_in_any_more_is_told_so_for_good() {
    let both = serde_json::json!({ "P": all(), "Caller": all() });
    let mut bus = Bus::start(true, &both);
    let (provider, caller) = (bus.plugin("P"), bus.plugin("Caller"));
    provider.provide("P.Gate", || 1_u8).unwrap().keep();
    let gate = open::<(), u8>(&caller, "P.Gate");
    let watch = caller.watch("P.Gate").unwrap();
    let told = [&provider, &caller].map(Told::by);
    bus.restart(true, &serde_json::json!({ "Caller": all() }));
    let reason = provider.wait_closed_for(PATIENCE).expect("it is for good");
    assert_eq!(reason.code(), Code::PermissionDenied);
    assert!(reason.message().contains("`P`"), "{reason}");
    let refused = code(provider.provide("P.New", || ()));
    assert_eq!(refused, Code::PermissionDenied);
    for told in &told {
        told.lost();
    }
    told[1].back();
    // The caller is on the new bus, where this gate does not exist.
    await_that("its gate is gone", || {
        gate.with_timeout(Duration::from_millis(100))
            .invoke(())
            .is_err()
    });
    let mut last = None;
    while let Some(event) = watch.next(PATIENCE).unwrap() {
        last = Some(event.is_present());
        if last == Some(false) {
            break;
        }
    }
    assert_eq!(last, Some(false));
    assert!(caller.wait_closed_for(Duration::ZERO).is_none());
}

/// A right that is not granted ends when its provider comes to the new broker. This measures how long it can be used
/// after that.
#[test]
fn a_right_that_is_not_granted_ends_with_the_provider_s_return() {
    let everybody = serde_json::json!({ "P": all(), "Caller": all() });
    let nothing = serde_json::json!({ "P": all(), "Caller": only(&[]) });
    let mut bus = Bus::start(false, &everybody);
    let (provider, caller) = (bus.plugin("P"), bus.plugin("Caller"));
    let add = provider.provide("P.Add", |a: u64, b: u64| a + b).unwrap();
    add.keep();
    let told = Told::by(&provider);
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        bus.restart(false, &nothing);
        told.lost();
        told.back();
        let back = Instant::now();
        await_that("the right is gone", || {
            // Until then calls are answered.
            add.invoke((1, 2))
                .is_err_and(|error| error.code() == Code::PermissionDenied)
        });
        longest = longest.max(back.elapsed());
        bus.restart(false, &everybody);
        told.lost();
        told.back();
        add.wait_ready(PATIENCE).unwrap();
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    }
    println!("a right was gone {longest:?} after the provider's return, at most");
    assert!(longest < SOON, "{longest:?}");
}
