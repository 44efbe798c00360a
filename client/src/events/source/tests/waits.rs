//! When a sender waits for listeners, and for how long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_layout::events::cursor::Waiter;
use callgate_layout::{Code, Encoding, clock};

use super::super::Settings;
use super::scene::{Ear, HERE, Heard, Ring, STANDS_STILL, Scene, settings};

const TEXT: &str = "a text that is as long as all the others";
const PATIENCE: Duration = Duration::from_secs(15);

/// A source whose ring is full of events that its listeners have not handled.
fn full(settings: Settings, ears: u64) -> (Scene, Ring, Vec<Ear>) {
    let scene = Scene::new(settings);
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let ears = (1..=ears).map(|feed| Ear::new(&scene, &ring, (feed, false)));
    let ears = ears.collect();
    scene.fill(TEXT);
    (scene, ring, ears)
}

/// Sends one more event, which finds no room, and runs `then` meanwhile. Returns how long that took.
fn while_it_waits(scene: &Scene, ears: &mut [Ear], then: impl FnOnce(&mut [Ear])) -> Duration {
    let (begun, is_sent) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            scene.send(99, TEXT).unwrap();
            is_sent.store(true, Ordering::Relaxed);
        });
        while !ears[0].reader.is_starving() {
            assert!(!is_sent.load(Ordering::Relaxed), "it does not wait");
            assert!(begun.elapsed() < PATIENCE, "it does not say that it waits");
            thread::yield_now();
        }
        then(ears);
    });
    assert!(!ears[0].reader.is_starving());
    begun.elapsed()
}

/// Returns how long it takes to send some events.
fn time_of(scene: &Scene, count: u32) -> Duration {
    let begun = Instant::now();
    (0..count).for_each(|number| scene.send(number, TEXT).unwrap());
    begun.elapsed()
}

fn is_lost(ear: &mut Ear) -> bool {
    matches!(ear.take(), Heard::Lost(_))
}

#[test]
fn who_sends_waits_for_who_is_slow_and_nothing_is_lost() {
    let (scene, _ring, mut ears) = full(settings(), 2);
    let count = ears[1].take_all().len();
    while_it_waits(&scene, &mut ears, |ears| {
        assert!(matches!(ears[0].take(), Heard::Event(0, _)));
        ears[0].handled();
        scene.moved_on();
    });
    let heard = ears[0].take_all();
    assert_eq!(heard.len(), count);
    assert!(heard.iter().all(|heard| matches!(heard, Heard::Event(..))));
    assert_eq!(ears[1].take_all().len(), 1);
}

#[test]
fn who_stands_still_costs_a_second_once() {
    let (scene, _ring, mut ears) = full(settings(), 2);
    ears[1].take_all();
    let took = time_of(&scene, 1);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    for _ in 0..20 {
        // Enough events to fill the ring. The other listener keeps up.
        time_of(&scene, 100);
        assert!(matches!(ears[1].take_all()[..], [Heard::Event(..), ..]));
    }
    assert!(is_lost(&mut ears[0]));
    assert!(took < PATIENCE, "{took:?}");
}

/// Each feed had a budget of its own: a plugin with ten feeds, or one that subscribed anew each time, delayed its
/// sender for ten seconds.
#[test]
fn a_plugin_costs_a_second_however_many_feeds_it_has() {
    let (scene, ring, mut ears) = full(settings(), 1);
    let took = time_of(&scene, 1);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let begun = Instant::now();
    for feed in 2..8 {
        let ear = ears[0].another(&scene, &ring, feed);
        if feed % 2 == 0 {
            scene.source.unlisten(ring.key, feed - 1);
        }
        scene.fill(TEXT);
        time_of(&scene, 100);
        ears.push(ear);
    }
    // The plugin may delay its sender for a tenth of the time that passes, and no more.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(ears.iter_mut().all(is_lost));
}

#[test]
fn an_event_waits_no_longer_than_it_may() {
    let (scene, _ring, mut ears) = full(
        Settings {
            send_timeout: Duration::from_millis(30),
            ..settings()
        },
        1,
    );
    let took = time_of(&scene, 1);
    assert!(took >= Duration::from_millis(30), "{took:?}");
    assert!(is_lost(&mut ears[0]));
}

#[test]
fn who_drops_the_oldest_never_waits() {
    let (scene, _ring, mut ears) = full(
        Settings {
            lossless: false,
            send_timeout: Duration::from_secs(3_600),
            ..settings()
        },
        1,
    );
    let took = time_of(&scene, 10_000);
    assert!(is_lost(&mut ears[0]) && took < PATIENCE);
}

#[test]
fn nobody_waits_for_who_is_gone() {
    let ends: [fn(&Scene, &Ring, &Ear); 3] = [
        |scene, ring, ear| scene.source.unlisten(ring.key, ear.feed),
        |scene, _, ear| scene.source.peer_ended(&ear.peer),
        |scene, _, ear| {
            ear.status.cursor(3).leave();
            scene.moved_on();
        },
    ];
    for end in ends {
        let (scene, ring, mut ears) = full(
            Settings {
                send_timeout: Duration::from_secs(3_600),
                ..settings()
            },
            2,
        );
        ears[1].take_all();
        while_it_waits(&scene, &mut ears, |ears| end(&scene, &ring, &ears[0]));
        assert_eq!(scene.source.listeners(), 1);
        assert_eq!(ears[1].take_all().len(), 1);
    }
}

/// The source looked again and again, without sleeping, at a listener whose position was in the middle of an event.
#[test]
fn who_lies_about_its_position_holds_nobody_up() {
    let (scene, _ring, ears) = full(settings(), 1);
    for position in [3, 5_000, 64 << 9, (64 << 10) - 100] {
        ears[0].handled_up_to(position);
        let took = time_of(&scene, 40);
        assert!(took < PATIENCE, "{took:?}");
    }
    ears[0].handled_up_to(u64::MAX);
    time_of(&scene, 2_000);
    assert_eq!(scene.source.listeners(), 0);
}

/// If there are more listeners than processors, each of them is in the way most of the time, although it never
/// pauses.
#[test]
fn who_is_waited_for_without_a_budget_loses_nothing_while_it_moves_on() {
    let (scene, _ring, mut ears) = full(
        Settings {
            budgets: false,
            ..settings()
        },
        1,
    );
    let mut heard = 0;
    let begun = Instant::now();
    // This takes longer than a budget, and than what the budget grows by meanwhile.
    for _ in 0..8 {
        while_it_waits(&scene, &mut ears, |ears| {
            thread::sleep(Duration::from_millis(200));
            heard += 1;
            assert!(matches!(ears[0].take(), Heard::Event(..)));
            ears[0].handled();
            scene.moved_on();
        });
    }
    assert!(begun.elapsed() > Duration::from_millis(1_500));
    let rest = ears[0].take_all();
    let is_event = |heard: &Heard| matches!(heard, Heard::Event(..));
    assert!(rest.iter().all(is_event), "{:?}", &rest[..2]);
    assert_eq!(heard + rest.len() as u64, ears[0].reader.number());
}

/// Such a listener delayed its sender for a timeout with each event.
#[test]
fn who_stands_still_without_a_budget_costs_a_timeout_once() {
    let (scene, _ring, mut ears) = full(
        Settings {
            budgets: false,
            send_timeout: Duration::from_millis(300),
            ..settings()
        },
        1,
    );
    let took = time_of(&scene, 5_000);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(is_lost(&mut ears[0]));
}

/// Because of a listener whose position was in the middle of an event, a quarter of the ring was given up at once,
/// including events that others had not handled.
#[test]
fn who_lies_about_its_position_makes_nobody_else_lose() {
    let (scene, _ring, mut ears) = full(settings(), 2);
    let first = ears[1].take();
    assert!(matches!(first, Heard::Event(0, _)));
    ears[1].handled();
    ears[0].handled_up_to(ears[1].reader.position() - 8);
    let took = time_of(&scene, 1);
    assert!(took < Duration::from_millis(900), "nobody is in the way");
    let rest = ears[1].take_all();
    let is_event = |heard: &Heard| matches!(heard, Heard::Event(..));
    assert!(rest.iter().all(is_event), "{:?}", &rest[..2]);
}

#[test]
fn several_threads_wait_and_lose_nothing() {
    // On a busy machine the taking thread may be away for longer than a budget lasts.
    let patient = Settings {
        budgets: false,
        send_timeout: Duration::from_secs(120),
        ..settings()
    };
    let (scene, _ring, mut ears) = full(patient, 1);
    let ear = &mut ears[0];
    let before = ear.reader.number();
    let mut numbers = Vec::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| time_of(&scene, 5_000)))
            .collect();
        let taker = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let taken = ear.take_all();
                numbers.extend(taken.into_iter().map(|heard| match heard {
                    Heard::Event(number, _) => number,
                    other => panic!("{other:?}"),
                }));
                if ear.reader.is_starving() {
                    scene.moved_on();
                }
            }
        });
        senders.into_iter().for_each(|sender| drop(sender.join()));
        is_over.store(true, Ordering::Relaxed);
        taker.join().unwrap();
    });
    numbers.extend(ears[0].take_all().iter().map(|_| 0));
    assert_eq!(numbers.len() as u64, ears[0].reader.number() - before);
    assert!(numbers.len() > 15_000);
}

/// A handler that sent to a plugin which runs on its own thread waited for itself, until that plugin had no budget
/// left.
#[test]
fn nobody_waits_for_who_waits_for_this_thread() {
    let scene = Scene::new(Settings {
        send_timeout: Duration::from_secs(3_600),
        ..settings()
    });
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut own = Ear::new(&scene, &ring, (STANDS_STILL, false));
    let mut other = Ear::new(&scene, &ring, (1, false));
    scene.fill(TEXT);
    let error = scene.source.flush(u64::MAX).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("`Listener99`"), "{error}");
    other.take_all();
    let took = time_of(&scene, 1);
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert!(is_lost(&mut own));
    assert_eq!(other.take_all().len(), 1);
}

#[test]
fn flushing_waits_until_everything_is_handled() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ears = [1, 2].map(|feed| Ear::new(&scene, &ring, (feed, false)));
    let soon = || clock::now() + 50_000_000;
    scene.source.flush(soon()).unwrap();
    scene.send(1, TEXT).unwrap();
    ears[1].take_all();
    let error = scene.source.flush(soon()).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.message().contains("`Listener1`"), "{error}");
    assert!(!error.message().contains("`Listener2`"), "{error}");
    thread::scope(|scope| {
        let flushing = scope.spawn(|| scene.source.flush(u64::MAX));
        while !ears[0].reader.is_starving() {
            thread::yield_now();
        }
        // Later events are not waited for.
        scene.send(2, TEXT).unwrap();
        ears[0].take();
        ears[0].handled();
        scene.moved_on();
        flushing.join().unwrap().unwrap();
    });
    ears[0].take_all();
    assert!(!ears[0].reader.is_starving());
}

#[test]
fn flushing_does_not_wait_for_who_is_overtaken_or_gone() {
    let (scene, ring, mut ears) = full(
        Settings {
            lossless: false,
            ..settings()
        },
        2,
    );
    thread::scope(|scope| {
        let flushing = scope.spawn(|| scene.source.flush(u64::MAX));
        while !ears[0].reader.is_starving() {
            thread::yield_now();
        }
        time_of(&scene, 1);
        scene.source.unlisten(ring.key, 2);
        flushing.join().unwrap().unwrap();
    });
    assert!(is_lost(&mut ears[0]));
}

#[test]
fn who_sleeps_is_woken_and_nobody_else() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let dispatched = Ear::new(&scene, &ring, (1, false));
    let [pulled, by_bell] = [2, 3].map(|feed| Ear::new(&scene, &ring, (feed, true)));
    let rings = || {
        let values = [&dispatched, &pulled, &by_bell].map(|ear| ear.peer.bell.value());
        (values, pulled.peer.bell.feed_value(3))
    };
    scene.send(1, TEXT).unwrap();
    assert_eq!(rings(), ([0, 0, 0], 0), "nobody sleeps");
    dispatched.status.park(&dispatched.bell);
    pulled.status.cursor(3).set_waiter(Waiter::Feed);
    scene.send(2, TEXT).unwrap();
    assert_eq!(rings(), ([0, 0, 0], 0), "nobody has said so");
    scene.doorbell.arm(0);
    scene.send(3, TEXT).unwrap();
    assert_eq!(rings(), ([1, 0, 0], 1));
    // Each listener is woken once for each time that it has announced its sleep.
    scene.send(4, TEXT).unwrap();
    assert_eq!(rings(), ([1, 0, 0], 1));
    dispatched.status.awake();
    pulled.status.cursor(3).set_waiter(Waiter::Nobody);
    scene.doorbell.arm(0);
    scene.send(5, TEXT).unwrap();
    assert_eq!(rings(), ([1, 0, 0], 1));
}

/// A sleeping listener was found, and then not woken if the wait would have been in vain.
#[test]
fn who_sleeps_is_woken_where_a_wait_would_be_in_vain() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let _stands_still = Ear::new(&scene, &ring, (STANDS_STILL, false));
    let mut sleeps = Ear::new(&scene, &ring, (2, false));
    scene.fill(TEXT);
    sleeps.take_all();
    sleeps.status.park(&sleeps.bell);
    scene.doorbell.arm(0);
    let before = sleeps.bell.value();
    scene.send(99, TEXT).unwrap();
    assert_ne!(sleeps.bell.value(), before);
    assert!(matches!(sleeps.take(), Heard::Event(_, (99, _))));
}
