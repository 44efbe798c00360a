//! What shares promise, besides being readable: who makes one, who uses it, and what is left after a failure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, HandlerError, Plugin, Share, gate_type};
use callgate_tests::proc::eventually;
use callgate_tests::shares::Content;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::scene::{expect_no_shares, holder, listed, patient, users};

const TAG: &str = "Table.Of.Sines";
/// Longer than anything here takes that does not wait.
const SOON: Duration = Duration::from_secs(5);

fn content(number: u64) -> Content {
    Content::new(TAG, number, 4096)
}

fn number(share: &Share<Content>) -> u64 {
    share.check(TAG)
}

#[test]
fn getting_a_tag_several_times_is_one_user() {
    let bus = Bus::start(programs!());
    let (maker, reader) = (bus.plugin("maker"), bus.plugin("reader"));
    let made = patient(&maker)
        .get_or_create(TAG, || content(1))
        .expect("made");
    let mut guards: Vec<Share<Content>> = (0..10)
        .map(|_| reader.shares().get(TAG).expect("it is there"))
        .collect();
    guards.push(guards[0].clone());
    assert_eq!(users(&maker, TAG), ["maker", "reader"]);
    // Only the last guard counts.
    while guards.len() > 1 {
        drop(guards.pop());
        assert_eq!(users(&maker, TAG), ["maker", "reader"]);
    }
    drop(guards);
    eventually("the reader has let go", || match users(&maker, TAG) {
        users if users == ["maker"] => Ok(()),
        users => Err(format!("{users:?}")),
    });
    drop(made);
    expect_no_shares(&bus);
    assert_eq!(code(reader.shares().get::<Content>(TAG)), Code::NotReady);
    assert!(
        reader
            .shares()
            .try_get::<Content>(TAG)
            .expect("no failure")
            .is_none()
    );
}

#[test]
fn a_factory_that_failed_can_be_tried_again_and_leaves_no_entry() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("maker");
    let shares = patient(&plugin);
    let calls = AtomicUsize::new(0);
    let fail = || {
        calls.fetch_add(1, Ordering::Relaxed);
        Err::<Content, _>(HandlerError::new("NO_SINES", "none are left"))
    };
    for _ in 0..3 {
        let error = shares.try_get_or_create(TAG, fail).expect_err("it fails");
        assert_eq!(error.code(), Code::HandlerError, "{error}");
        assert!(error.to_string().contains("none are left"), "{error}");
        assert!(error.to_string().contains(TAG), "{error}");
        assert!(listed(&plugin).is_empty(), "{:?}", listed(&plugin));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(code(shares.get::<Content>(TAG)), Code::NotReady);
    let made = shares.get_or_create(TAG, || content(4)).expect("made");
    assert_eq!((number(&made), made.version()), (4, 1));
}

/// After a factory has panicked, the share can be made again, and the plugin's table has no entry for it.
#[test]
fn a_factory_that_panics_can_be_tried_again_and_leaves_no_entry() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("maker");
    let shares = patient(&plugin);
    let panics = || -> Content { panic!("no sines") };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        shares.get_or_create(TAG, panics)
    }));
    // Its caller learns of it either way: by the panic, or by an error.
    assert!(!matches!(caught, Ok(Ok(_))));
    eventually("no entry is left", || match listed(&plugin) {
        list if list.is_empty() => Ok(()),
        list => Err(format!("{list:?}")),
    });
    let made = shares.get_or_create(TAG, || content(2)).expect("made");
    assert_eq!(number(&made), 2);
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Different {
    volume: f64,
    name: (String, u8),
}

#[test]
fn another_type_is_a_mismatch_and_its_caller_no_user() {
    let bus = Bus::start(programs!());
    let (maker, reader) = (bus.plugin("maker"), bus.plugin("reader"));
    let _made = patient(&maker)
        .get_or_create(TAG, || content(1))
        .expect("made");
    let shares = patient(&reader);
    let run = Arc::new(AtomicUsize::new(0));
    let factory = || {
        run.fetch_add(1, Ordering::Relaxed);
        Different {
            volume: 1.0,
            name: (String::new(), 1),
        }
    };
    let refused = [
        shares.get::<Different>(TAG).map(drop),
        shares.try_get::<Different>(TAG).map(drop),
        shares.get_or_create(TAG, factory).map(drop),
        shares.get::<[f32]>(TAG).map(drop),
        shares.clone().exact_only().get::<Different>(TAG).map(drop),
        shares
            .create_with(TAG, 8, |slice: &mut [f32]| slice.fill(1.0))
            .map(drop),
        shares.publish(TAG, &factory()).map(drop),
    ];
    for (nth, refused) in refused.into_iter().enumerate() {
        let error = refused.expect_err("another type");
        assert_eq!(error.code(), Code::ShareTypeMismatch, "{nth}: {error}");
        assert!(error.to_string().contains(TAG), "{error}");
        eventually("it is no user", || match users(&maker, TAG) {
            users if users == ["maker"] => Ok(()),
            users => Err(format!("{nth}: {users:?}")),
        });
    }
    // Once, for the value that was to be published.
    assert_eq!(run.load(Ordering::Relaxed), 1);
    // A caller that was refused may use the right type afterwards.
    assert_eq!(number(&shares.get(TAG).expect("it is there")), 1);
}

#[test]
fn of_many_that_want_it_at_once_one_makes_it_once() {
    const PLUGINS: usize = 6;
    const THREADS: usize = 3;
    let bus = Bus::start(programs!());
    let calls = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(PLUGINS * THREADS));
    let plugins: Vec<Plugin> = (0..PLUGINS)
        .map(|n| bus.plugin(&format!("plugin-{n}")))
        .collect();
    let threads: Vec<_> = (0..PLUGINS * THREADS)
        .map(|n| {
            let shares = patient(&plugins[n % PLUGINS]);
            let (calls, start) = (calls.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                let factory = || {
                    calls.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(100));
                    content(n as u64)
                };
                shares.get_or_create(TAG, factory).expect("made or there")
            })
        })
        .collect();
    let all: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let numbers: Vec<u64> = all.iter().map(number).collect();
    assert!(numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
    let maker = format!("plugin-{}", numbers[0] as usize % PLUGINS);
    assert!(
        all.iter()
            .all(|share| share.maker() == maker && share.version() == 1)
    );
}

/// How a second maker waits behind a first one, and for each way in which the first one ends.
fn next_in_row(first: impl FnOnce(&Bus) -> Box<dyn FnOnce()>, within: Duration) {
    let bus = Bus::start(programs!());
    let end = first(&bus);
    let second = bus.plugin("second");
    let (sender, made) = mpsc::channel();
    let shares = patient(&second).make_within(within);
    thread::spawn(move || {
        let made = shares.get_or_create(TAG, || content(2));
        let _ = sender.send(made);
    });
    // Only one plugin makes it at a time.
    made.recv_timeout(Duration::from_millis(200))
        .expect_err("it waits");
    end();
    let made = made
        .recv_timeout(PATIENCE)
        .expect("an answer")
        .expect("made");
    assert_eq!((number(&made), made.maker()), (2, "second"));
    assert_eq!(users(&second, TAG), ["second"]);
}

#[test]
fn the_next_in_the_row_makes_it_when_the_first_fails() {
    let (fail, told) = mpsc::channel::<()>();
    let first = move |bus: &Bus| -> Box<dyn FnOnce()> {
        let (plugin, (began, begins)) = (bus.plugin("first"), mpsc::channel());
        let first = thread::spawn(move || {
            patient(&plugin).try_get_or_create(TAG, || -> Result<Content, HandlerError> {
                began.send(()).expect("it is waited for");
                told.recv().expect("it is told");
                Err(HandlerError::new("NO_SINES", "none are left"))
            })
        });
        begins.recv_timeout(PATIENCE).expect("it begins");
        Box::new(move || {
            fail.send(()).expect("it waits");
            let failed = first.join().expect("no panic");
            assert_eq!(code(failed), Code::HandlerError);
        })
    };
    next_in_row(first, PATIENCE);
}

#[test]
fn the_next_in_the_row_makes_it_when_the_first_dies() {
    let first = |bus: &Bus| -> Box<dyn FnOnce()> {
        let mut first = holder(bus, "first");
        assert_eq!(first.ask(&format!("hang {TAG}")), "making");
        Box::new(move || first.kill())
    };
    next_in_row(first, PATIENCE);
}

#[test]
fn the_next_in_the_row_makes_it_when_the_first_takes_too_long() {
    let bus = Bus::start(programs!());
    let (first, second) = (bus.plugin("first"), bus.plugin("second"));
    let (began, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let shares = patient(&first).make_within(Duration::from_millis(300));
    let late = thread::spawn(move || {
        shares.get_or_create(TAG, || {
            let _ = began.send(());
            let _ = ends.recv();
            content(1)
        })
    });
    begins.recv_timeout(PATIENCE).expect("it begins");
    let begun = Instant::now();
    let made = patient(&second)
        .get_or_create(TAG, || content(2))
        .expect("made");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(number(&made), 2);
    // What the first one has made meanwhile is not used. It gets an error, or the share that the second one has made.
    drop(end);
    match late.join().expect("no panic") {
        Ok(share) => assert_eq!(number(&share), 2),
        Err(error) => assert_eq!(error.code(), Code::Timeout, "{error}"),
    }
    assert_eq!(number(&patient(&first).get(TAG).expect("it is there")), 2);
}

/// A maker whose share another plugin has published meanwhile gets that one, and no protocol error.
#[test]
fn who_makes_what_another_one_has_published_meanwhile_has_that() {
    let bus = Bus::start(programs!());
    let (first, second) = (bus.plugin("first"), bus.plugin("second"));
    let mut published = None;
    let made = patient(&first).get_or_create(TAG, || {
        published = patient(&second).publish(TAG, &content(2)).ok();
        content(1)
    });
    let made = made.expect("it is there");
    assert_eq!((number(&made), made.maker()), (2, "second"));
    assert_eq!(users(&first, TAG), ["first", "second"]);
    drop(published);
    assert_eq!(number(&patient(&second).get(TAG).expect("it is there")), 2);
}

/// A share beyond the plugin's quota is refused, and its session goes on.
#[test]
fn a_share_beyond_the_quota_is_refused_and_the_next_one_is_made() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("maker");
    let shares = patient(&plugin);
    let fill = |slice: &mut [u64]| slice[0] = 1;
    for _ in 0..3 {
        // 4 GiB, of which not a byte is written.
        let refused = shares.create_with(TAG, 1 << 29, fill).map(drop);
        assert_eq!(code(refused), Code::Overloaded);
        let refused = shares.publish_with(TAG, 1 << 29, fill).map(drop);
        assert_eq!(code(refused), Code::Overloaded);
    }
    let made = shares.create_with(TAG, 8, fill).expect("made");
    assert_eq!(made[..2], [1, 0]);
}

/// If one plugin's wait for a share ends at its deadline, the others still wait, and it is no user.
#[test]
fn who_waits_no_longer_is_told_so_and_is_no_user() {
    let bus = Bus::start(programs!());
    let mut first = holder(&bus, "first");
    assert_eq!(first.ask(&format!("hang {TAG}")), "making");
    let second = bus.plugin("second");
    let hurried = second.shares().timeout(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(
        code(hurried.get_or_create(TAG, || content(2))),
        Code::Timeout
    );
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let third = bus.plugin("third");
    let waits = thread::spawn(move || {
        patient(&third)
            .get_or_create(TAG, || content(3))
            .map(|made| (third, made))
    });
    thread::sleep(Duration::from_millis(100));
    first.kill();
    let (third, made) = waits.join().expect("no panic").expect("made");
    assert_eq!(number(&made), 3);
    assert_eq!(users(&third, TAG), ["third"]);
}

#[test]
fn a_factory_may_use_shares_and_gates() {
    let bus = Bus::start(programs!());
    let (maker, other) = (bus.plugin("maker"), bus.plugin("other"));
    let _double = other
        .provide("Other.Double", |n: u64| 2 * n)
        .expect("provided");
    let shares = patient(&maker);
    let made = shares.get_or_create(TAG, || {
        let inner = shares
            .get_or_create("Inner", || 20_u64)
            .expect("made in between");
        let double = open::<(u64,), u64>(&maker, "Other.Double");
        content(double.invoke((inner.to_native(),)).expect("it is called") + 2)
    });
    assert_eq!(number(&made.expect("made")), 42);
}

/// A factory that asks for its own tag gets an error at once: its thread would wait for itself.
#[test]
fn a_factory_that_wants_its_own_tag_is_told_so_at_once() {
    let bus = Bus::start(programs!());
    let maker = bus.plugin("maker");
    let shares = patient(&maker);
    let begun = Instant::now();
    let made = shares.get_or_create(TAG, || {
        let inner = shares.get_or_create(TAG, || content(1));
        assert_eq!(code(inner), Code::Deadlock);
        content(2)
    });
    assert_eq!(number(&made.expect("made")), 2);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

/// A share stays available to all as long as one plugin holds a guard, also after its maker has died.
#[test]
fn a_share_outlives_its_maker_and_ends_with_its_last_user() {
    let bus = Bus::start(programs!());
    let mut maker = holder(&bus, "maker");
    let mut reader = holder(&bus, "reader");
    assert_eq!(maker.ask("make Outlives 5 100000"), "5");
    assert_eq!(reader.ask("get Outlives"), "5");
    maker.kill();
    let late = bus.plugin("late");
    let found = patient(&late)
        .get::<Content>("Outlives")
        .expect("it is there");
    assert_eq!((found.check("Outlives"), found.maker()), (5, "maker"));
    drop(found);
    assert_eq!(reader.ask("check Outlives"), "5");
    reader.kill();
    expect_no_shares(&bus);
    let begun = Instant::now();
    await_that("it can be made anew", || {
        let made = patient(&late).get_or_create("Outlives", || Content::new("Outlives", 6, 100));
        made.expect("made").check("Outlives") == 6
    });
    assert!(begun.elapsed() < SOON);
}
