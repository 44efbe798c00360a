//! Shares of plugins that close, lose rights, or wait for a share that nobody makes.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use callgate::Policy;
use callgate_client::{Code, Plugin, Share, Shares, Versions};

use crate::scene::{PATIENCE, Scene, TAG, Table, eventually, is_there};

/// If the maker of a share closes, the next plugin that waits makes it.
#[test]
fn a_plugin_that_closes_while_it_makes_leaves_it_to_the_next() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let (begun, closed) = (Barrier::new(2), Barrier::new(2));
    let shares = maker.shares();
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            shares.get_or_create(TAG, || {
                begun.wait();
                closed.wait();
                Table::named("in vain")
            })
        });
        begun.wait();
        let next = scope.spawn(|| other.shares().get_or_create(TAG, || Table::named("next")));
        drop(maker);
        let next = next.join().unwrap().unwrap();
        assert_eq!((&*next.name, next.maker()), ("next", "Other"));
        closed.wait();
        assert_eq!(made.join().unwrap().unwrap_err().code(), Code::Closed);
    });
}

/// A plugin that closes while it waits is told so, also if it waits for a tag that its own plugin is making.
#[test]
fn a_plugin_that_closes_while_it_waits_hears_so() {
    let scene = Scene::new();
    let (maker, waiter) = (scene.plugin("Maker"), scene.plugin("Waiter"));
    let (begun, closed) = (Barrier::new(2), Barrier::new(2));
    let shares = waiter.shares();
    let get = |shares: &Shares| shares.get_or_create(TAG, || Table::named("never"));
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            maker.shares().get_or_create(TAG, || {
                begun.wait();
                closed.wait();
                Table::named("made")
            })
        });
        begun.wait();
        let waits = [0, 1].map(|_| scope.spawn(|| get(&shares)));
        thread::sleep(Duration::from_millis(50));
        drop(waiter);
        for waits in waits {
            assert_eq!(waits.join().unwrap().unwrap_err().code(), Code::Closed);
        }
        closed.wait();
        assert_eq!(made.join().unwrap().unwrap().name, "made");
    });
}

#[test]
fn rights_that_are_taken_away_leave_the_guards() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("mine"))
        .unwrap();
    let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
    let read = versions.latest().unwrap().unwrap();
    let none = Policy::new().read_shares("Other.*");
    scene.broker.set_policy("Reader", Some(none)).unwrap();
    let denied = |shares: Shares| shares.get::<Table>(TAG).err().map(|error| error.code());
    eventually(|| denied(reader.shares()) == Some(Code::PermissionDenied));
    assert_eq!(
        versions.latest().unwrap_err().code(),
        Code::PermissionDenied
    );
    let make = reader.shares().get_or_create("New", || 1_u8).unwrap_err();
    assert_eq!(make.code(), Code::PermissionDenied);
    let publish = reader.shares().publish("New", &1_u8).unwrap_err();
    assert_eq!(publish.code(), Code::PermissionDenied);
    assert_eq!(read.name, "mine");
    // And the right is given back.
    scene.broker.set_policy("Reader", None).unwrap();
    eventually(|| denied(reader.shares()).is_none());
    assert_eq!(versions.latest().unwrap().unwrap().name, "mine");
    drop(made);
}

/// A plugin that may only make shares can read what it has made.
#[test]
fn who_may_only_make_has_its_own() {
    let scene = Scene::new();
    let maker = scene.plugin("Maker");
    let policy = Policy::new().create_shares("Osc.*");
    scene.broker.set_policy("Maker", Some(policy)).unwrap();
    let publisher = maker.shares().publisher::<Table>(TAG).unwrap();
    let made = publisher.publish(&Table::named("mine")).unwrap();
    assert_eq!(made.name, "mine");
    let other = scene.plugin("Other");
    let theirs = other.shares().get_or_create("Other", || 1_u8).unwrap();
    let denied = maker.shares().get::<u8>("Other").unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    drop(theirs);
}

/// A plugin that may only read can get a share that exists, also if it offers to make it.
#[test]
fn who_may_only_read_has_what_is_there() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let policy = Policy::new().read_shares("*");
    scene.broker.set_policy("Reader", Some(policy)).unwrap();
    let make = || {
        reader
            .shares()
            .get_or_create(TAG, || Table::named("theirs"))
    };
    let refused = make().unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("share.create"), "{refused}");
    let made = maker.shares().publish(TAG, &Table::named("mine")).unwrap();
    assert_eq!(make().unwrap().name, "mine");
    drop(made);
}

/// A plugin that ends with its broker is told that it will not get another one.
#[test]
fn who_ends_with_its_broker_hears_so() {
    let scene = Scene::new();
    let plugin = Plugin::builder("Last")
        .descriptor(scene.broker.connect().unwrap())
        .outlives_broker(false)
        .connect()
        .unwrap();
    let held = plugin
        .shares()
        .get_or_create(TAG, || Table::named("held"))
        .unwrap();
    let versions: Versions<Table> = plugin.shares().versions("Other").unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| versions.changed(PATIENCE));
        thread::sleep(Duration::from_millis(30));
        drop(scene);
        assert_eq!(waits.join().unwrap().unwrap_err().code(), Code::BrokerGone);
    });
    let gone = plugin.shares().get::<Table>("Other").unwrap_err();
    assert_eq!(gone.code(), Code::BrokerGone);
    assert_eq!(held.name, "held");
}

/// While a handler waits for a share, calls that come back in its chain are served.
#[test]
fn a_handler_that_waits_serves_its_own_chain() {
    let scene = Scene::new();
    let connect = |name| {
        let plugin = Plugin::builder(name).direct_calls(false);
        let plugin = plugin.descriptor(scene.broker.connect().unwrap());
        plugin.connect().unwrap()
    };
    let (a, b, caller) = (connect("A"), connect("B"), connect("Caller"));
    let back = a.provide("A.Back", || 5_u32).unwrap();
    let to_back = b.subscriber::<(), u32>("A.Back").unwrap();
    to_back.wait_ready(PATIENCE).unwrap();
    let (to_back, b_shares) = (to_back.with_own_deadline(), b.shares());
    let make = b
        .provide("B.Make", move || {
            let made = b_shares.get_or_create("Number", || {
                thread::sleep(Duration::from_millis(200));
                to_back.invoke(()).unwrap()
            });
            // The handler holds it until the other one has it.
            thread::sleep(Duration::from_millis(500));
            drop(made.unwrap());
        })
        .unwrap();
    let to_make = a.subscriber::<(), ()>("B.Make").unwrap();
    to_make.wait_ready(PATIENCE).unwrap();
    let (to_make, a_shares) = (to_make.with_timeout(Duration::from_millis(50)), a.shares());
    // A gives the call up, and waits for the share, which the same chain makes inside that call.
    let outer = a
        .provide("A.Outer", move || {
            assert_eq!(to_make.invoke(()).unwrap_err().code(), Code::Timeout);
            let waited: Share<u32> = a_shares.get_or_create("Number", || 0_u32).unwrap();
            waited.to_value().unwrap()
        })
        .unwrap();
    let to_outer = caller.subscriber::<(), u32>("A.Outer").unwrap();
    to_outer.wait_ready(PATIENCE).unwrap();
    assert_eq!(to_outer.with_timeout(PATIENCE).invoke(()).unwrap(), 5);
    drop((back, make, outer));
    assert!(!is_there(&caller.shares(), TAG));
}
