//! Shares whose broker is replaced by another one.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Plugin, Publisher, Share, Versions};

use crate::scene::{PATIENCE, Scene, TAG, Table, eventually, is_there};

/// Moves plugins to the next bus, in this order.
fn go_on(to: &Scene, plugins: &[&Plugin]) {
    for plugin in plugins {
        plugin.rejoin(to.broker.connect().unwrap()).unwrap();
    }
}

/// What a plugin finds that has just joined this bus.
fn found(scene: &Scene) -> Option<(String, u64, String)> {
    let plugin = scene.plugin("Stranger");
    let share = plugin.shares().try_get::<Table>(TAG).unwrap()?;
    Some((
        share.name.to_string(),
        share.version(),
        share.maker().to_owned(),
    ))
}

#[test]
fn the_maker_gives_it_to_the_next_broker() {
    for maker_first in [true, false] {
        let (old, new) = (Scene::new(), Scene::new());
        let (maker, reader) = (old.plugin("Maker"), old.plugin("Reader"));
        let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
        let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
        publisher.publish(&Table::named("one")).unwrap();
        publisher.publish(&Table::named("two")).unwrap();
        let read = versions.latest().unwrap().unwrap();
        drop(old);
        assert_eq!(versions.latest().unwrap().unwrap().version(), 2);
        let two = Some(("two".to_owned(), 2, "Maker".to_owned()));
        if maker_first {
            // The broker checks returned memory on a thread of its own. A reader that asks before that is done is
            // sent the same version once more.
            go_on(&new, &[&maker]);
            eventually(|| found(&new) == two);
            go_on(&new, &[&reader]);
        } else {
            go_on(&new, &[&reader, &maker]);
        }
        eventually(|| found(&new) == two);
        // Guards from before still read the same memory.
        let again = versions.latest().unwrap().unwrap();
        assert_eq!((again.version(), &*read.name), (2, "two"));
        if maker_first {
            let held: Share<Table> = reader.shares().get(TAG).unwrap();
            assert!(std::ptr::eq(&*held, &*read));
        }
        publisher.publish(&Table::named("three")).unwrap();
        let mut seen = versions.changed(PATIENCE).unwrap().unwrap();
        if seen.version() == 2 {
            // It came with a new page.
            seen = versions.changed(PATIENCE).unwrap().unwrap();
        }
        assert_eq!((seen.version(), &*seen.name), (3, "three"));
    }
}

#[test]
fn a_share_whose_maker_does_not_return_is_gone_and_its_guards_stay() {
    let (old, new) = (Scene::new(), Scene::new());
    let (maker, reader) = (old.plugin("Maker"), old.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("old"))
        .unwrap();
    let versions: Versions<Table> = reader.shares().versions(TAG).unwrap();
    let read = versions.latest().unwrap().unwrap();
    drop((made, maker));
    drop(old);
    go_on(&new, &[&reader]);
    eventually(|| !is_there(&reader.shares(), TAG));
    assert_eq!(found(&new), None);
    // Followers keep the version that was newest, until there is a newer one.
    assert_eq!(versions.latest().unwrap().unwrap().name, "old");
    let other = new.plugin("Other");
    let new_one = other.shares().publish(TAG, &Table::named("new")).unwrap();
    let seen = versions.changed(PATIENCE).unwrap().unwrap();
    assert_eq!(
        (&*seen.name, seen.version(), seen.maker()),
        ("new", 1, "Other")
    );
    assert_eq!((&*read.name, &*new_one.name), ("old", "new"));
    let held: Share<Table> = reader.shares().get(TAG).unwrap();
    assert!(std::ptr::eq(&*held, &*seen));
}

#[test]
fn who_makes_the_tag_first_has_it() {
    let (old, new) = (Scene::new(), Scene::new());
    let maker = old.plugin("Maker");
    let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
    let kept = publisher.publish(&Table::named("old")).unwrap();
    let first = new.plugin("First");
    let taken = first
        .shares()
        .get_or_create(TAG, || Table::named("taken"))
        .unwrap();
    drop(old);
    go_on(&new, &[&maker]);
    eventually(|| maker.shares().get::<Table>(TAG).unwrap().name == "taken");
    assert_eq!(kept.name, "old");
    let next = publisher.publish(&Table::named("next")).unwrap();
    assert_eq!((next.version(), taken.version()), (2, 1));
    assert_eq!(first.shares().get::<Table>(TAG).unwrap().name, "next");
}

#[test]
fn what_is_being_made_is_asked_for_again_and_made_once() {
    let (old, new) = (Scene::new(), Scene::new());
    let maker = old.plugin("Maker");
    let (begun, replaced, runs) = (Barrier::new(2), Barrier::new(2), AtomicU32::new(0));
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            maker.shares().get_or_create(TAG, || {
                runs.fetch_add(1, Ordering::Relaxed);
                begun.wait();
                replaced.wait();
                Table::named("made")
            })
        });
        begun.wait();
        drop(old);
        go_on(&new, &[&maker]);
        replaced.wait();
        assert_eq!(made.join().unwrap().unwrap().name, "made");
    });
    assert_eq!(runs.into_inner(), 1);
    // Its guard was dropped. The broker learns of that over another connection than that of the question.
    eventually(|| found(&new).is_none());
}

#[test]
fn who_asks_while_there_is_no_broker_waits_for_the_next() {
    let (old, new) = (Scene::new(), Scene::new());
    let plugin = old.plugin("Maker");
    let held = plugin.shares().get_or_create("Held", || 7_u32).unwrap();
    drop(old);
    // Memory that a guard holds can be read without a broker.
    assert_eq!(
        plugin
            .shares()
            .get::<u32>("Held")
            .unwrap()
            .to_value()
            .unwrap(),
        7
    );
    let short = plugin.shares().timeout(Duration::from_millis(50));
    let gone = short.get::<u32>("Other").unwrap_err();
    assert_eq!(gone.code(), Code::BrokerGone, "{gone}");
    thread::scope(|scope| {
        let made = scope.spawn(|| plugin.shares().get_or_create(TAG, || Table::named("late")));
        thread::sleep(Duration::from_millis(50));
        go_on(&new, &[&plugin]);
        assert_eq!(made.join().unwrap().unwrap().name, "late");
    });
    drop(held);
}

/// A share that was let go while there was no broker is not reported to the next broker, which would end the session
/// for it.
#[test]
fn what_is_let_go_while_there_is_no_broker_is_not_said_to_the_next() {
    let (old, new) = (Scene::new(), Scene::new());
    let (maker, reader) = (old.plugin("Maker"), old.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("kept"))
        .unwrap();
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    drop(old);
    drop(read);
    go_on(&new, &[&maker, &reader]);
    // The broker checks returned memory on a thread of its own.
    eventually(|| is_there(&reader.shares(), TAG));
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    assert_eq!(read.name, "kept");
    drop(made);
    assert!(is_there(&maker.shares(), TAG));
    drop(read);
    eventually(|| !is_there(&maker.shares(), TAG));
}

#[test]
fn what_was_converted_is_converted_by_the_next_broker_too() {
    let (old, new) = (Scene::new(), Scene::new());
    let (maker, reader) = (old.plugin("Maker"), old.plugin("Reader"));
    let publisher: Publisher<[u16]> = maker.shares().publisher(TAG).unwrap();
    let first = publisher.publish(&[1]).unwrap();
    let versions: Versions<Vec<u32>> = reader.shares().versions(TAG).unwrap();
    assert_eq!(versions.latest().unwrap().unwrap().to_value().unwrap(), [1]);
    drop(old);
    go_on(&new, &[&maker, &reader]);
    publisher.publish(&[2, 3]).unwrap();
    eventually(|| versions.latest().unwrap().unwrap().to_value().unwrap() == [2, 3]);
    drop(first);
}
