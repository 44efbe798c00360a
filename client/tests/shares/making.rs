//! A share is made only once, however many plugins ask for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch, HandlerError, Share, Shares};

use crate::scene::{PATIENCE, Scene, TAG, Table, is_there};

/// Of many plugins that ask for a share at once, one makes it, and all use that one.
#[test]
fn of_many_one_makes_it() {
    const THREADS: usize = 4;
    let scene = Scene::new();
    let plugins: Vec<_> = (0..4).map(|n| scene.plugin(&format!("P{n}"))).collect();
    let (made, start) = (AtomicU32::new(0), Barrier::new(4 * THREADS));
    let get = |shares: Shares| {
        start.wait();
        shares.get_or_create(TAG, || {
            made.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
            Table::named("once")
        })
    };
    let shares: Vec<Share<Table>> = thread::scope(|scope| {
        let each = plugins
            .iter()
            .flat_map(|plugin| (0..THREADS).map(|_| plugin.shares()));
        let get = &get;
        let threads: Vec<_> = each
            .map(|shares| scope.spawn(move || get(shares)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(shares.iter().all(|share| share.name == "once"));
}

#[test]
fn a_factory_that_fails_or_panics_leaves_nothing_behind() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let failed = maker
        .shares()
        .try_get_or_create(TAG, || -> Result<Table, HandlerError> {
            Err(HandlerError::new("NO_FILE", "there is no file"))
        });
    let failed = failed.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message()),
        (Code::HandlerError, "there is no file")
    );
    assert_eq!(failed.context().unwrap()["handler_code"], "NO_FILE");
    assert!(!is_there(&other.shares(), TAG));
    let panics = || {
        maker
            .shares()
            .get_or_create(TAG, || -> Table { panic!("on purpose") })
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(!is_there(&other.shares(), TAG));
    let fills = || {
        maker
            .shares()
            .create_with("Ir", 9, |_: &mut [u64]| panic!("on purpose"))
    };
    assert!(catch_unwind(AssertUnwindSafe(fills)).is_err());
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("third time"))
        .unwrap();
    assert_eq!(other.shares().get::<Table>(TAG).unwrap().name, made.name);
}

/// If making a share fails, the next plugin in the row makes it.
#[test]
fn the_next_in_the_row_makes_it() {
    let scene = Scene::new();
    let (first, second) = (scene.plugin("First"), scene.plugin("Second"));
    let has_begun = Barrier::new(3);
    thread::scope(|scope| {
        scope.spawn(|| {
            let failed =
                first
                    .shares()
                    .try_get_or_create(TAG, || -> Result<Table, HandlerError> {
                        has_begun.wait();
                        thread::sleep(Duration::from_millis(100));
                        Err(HandlerError::new("NO", "not this one"))
                    });
            assert_eq!(failed.unwrap_err().code(), Code::HandlerError);
        });
        // Once from another thread of the same plugin, and once from another plugin.
        for plugin in [&first, &second] {
            let has_begun = &has_begun;
            scope.spawn(move || {
                has_begun.wait();
                let share = plugin
                    .shares()
                    .get_or_create(TAG, || Table::named("next"))
                    .unwrap();
                assert_eq!(share.name, "next");
            });
        }
    });
}

#[test]
fn a_factory_that_asks_for_its_own_tag_is_told_at_once() {
    let scene = Scene::new();
    let plugin = scene.plugin("Maker");
    let start = Instant::now();
    let shares = plugin.shares();
    let made = shares.get_or_create(TAG, || {
        let inner = shares
            .get_or_create(TAG, || Table::named("inner"))
            .unwrap_err();
        assert_eq!(inner.code(), Code::Deadlock);
        assert_eq!(shares.get::<Table>(TAG).unwrap_err().code(), Code::Deadlock);
        // Another tag is allowed.
        let other = shares
            .get_or_create("Other", || Table::named("other"))
            .unwrap();
        Table::named(&format!("made with {}", other.name))
    });
    assert_eq!(made.unwrap().name, "made with other");
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn who_only_looks_does_not_wait_for_what_is_being_made() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let made = maker.shares().get_or_create(TAG, || {
        thread::scope(|scope| {
            // Once from another thread of the same plugin, and once from another plugin.
            let inside = scope.spawn(|| is_there(&maker.shares(), TAG));
            assert!(!inside.join().unwrap());
            assert!(!is_there(&other.shares(), TAG));
        });
        Table::named("late")
    });
    assert!(is_there(&other.shares(), TAG));
    drop(made);
}

#[test]
fn the_time_of_each_is_its_own() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let (begun, waited) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let slow = maker.shares().get_or_create(TAG, || {
                begun.wait();
                waited.wait();
                Table::named("slow")
            });
            assert_eq!(slow.unwrap().name, "slow");
        });
        begun.wait();
        let short = other.shares().timeout(Duration::from_millis(30));
        let late = short
            .get_or_create(TAG, || Table::named("never"))
            .unwrap_err();
        assert_eq!(late.code(), Code::Timeout);
        waited.wait();
    });
}

/// A maker that exceeds its time limit is passed over, and its share is not used.
#[test]
fn a_maker_that_takes_too_long_is_passed_over() {
    let scene = Scene::new();
    let (maker, other) = (scene.plugin("Maker"), scene.plugin("Other"));
    let (begun, made) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let shares = maker.shares().make_within(Duration::from_millis(50));
            let late = shares.get_or_create(TAG, || {
                begun.wait();
                made.wait();
                Table::named("late")
            });
            assert_eq!(late.unwrap_err().code(), Code::Timeout);
        });
        begun.wait();
        let share = other
            .shares()
            .get_or_create(TAG, || Table::named("other"))
            .unwrap();
        assert_eq!(share.maker(), "Other");
        made.wait();
    });
}

/// A handler waits for a share at most as long as the call that it serves, and gets shares that others make.
#[test]
fn handlers_use_shares() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let scene = Scene::new();
        let (a, maker) = (scene.connect("A", dispatch), scene.plugin("Maker"));
        let shares = a.shares();
        let get = a
            .provide("A.Get", move || {
                shares
                    .get_or_create(TAG, || Table::named("A"))
                    .map(|share| share.name.to_string())
            })
            .unwrap();
        let caller = scene.plugin("Caller");
        let to_get = caller.subscriber::<(), String>("A.Get").unwrap();
        let (begun, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                maker.shares().get_or_create(TAG, || {
                    begun.wait();
                    done.wait();
                    thread::sleep(Duration::from_millis(50));
                    Table::named("Maker")
                })
            });
            begun.wait();
            let short = to_get.with_timeout(Duration::from_millis(50));
            let late = short.invoke(()).unwrap_err();
            assert!(
                [Code::Timeout, Code::HandlerError].contains(&late.code()),
                "{late}"
            );
            done.wait();
            assert_eq!(to_get.invoke(()).unwrap(), "Maker");
            made.join().unwrap().unwrap();
        });
        drop(get);
    }
}
