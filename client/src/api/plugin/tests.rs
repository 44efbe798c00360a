//! Draining plugins: calls that were taken are run and answered, and all others certainly did not run.

mod scene;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use callgate_layout::closing;

use super::*;
use crate::api::dynamic::{self, Gate};
use crate::api::group::Group;
use crate::handler::responder::Responder;
use scene::{MODES, PATIENCE, builder, drain, expect_let_go, scene};

/// A call that found its provider closed ended the link for calls of other threads whose handlers were running, and
/// these calls were reported as perhaps run.
#[test]
fn under_load_each_call_is_answered_or_certainly_did_not_run() {
    for (dispatch, is_sent) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let scene = scene(dispatch);
        let ran = Arc::new(AtomicU32::new(0));
        let counted = ran.clone();
        let handler = move |n: u32| {
            thread::sleep(Duration::from_micros(50));
            counted.fetch_add(1, Ordering::Relaxed);
            n + 1
        };
        scene
            .provider
            .provide("Provider.Add", handler)
            .unwrap()
            .keep();
        let subscriber = scene.subscriber::<u32>("Provider.Add");
        let signature = signature_of::<(u32,), u32>();
        let gate = dynamic::open(&scene.caller, "Provider.Add", &signature).unwrap();
        let (answered, over) = (AtomicU32::new(0), AtomicU32::new(0));
        let make = |n: u32| match is_sent {
            true => send(&gate, n),
            false => subscriber.invoke((n,)),
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let error = (0..).find_map(|n| {
                        let outcome = make(n).map(|sum| assert_eq!(sum, n + 1));
                        answered.fetch_add(u32::from(outcome.is_ok()), Ordering::Relaxed);
                        outcome.err()
                    });
                    over.fetch_add(1, Ordering::Relaxed);
                    let error = error.unwrap();
                    assert_unrun(&error);
                });
            }
            scope.spawn(|| {
                while answered.load(Ordering::Relaxed) < 200 {
                    thread::yield_now();
                }
                drain(&scene.provider);
            });
            scene.pump_until(|| over.load(Ordering::Relaxed) == 8);
        });
        scene.expect_let_go();
        scene.expect_links();
        let counts = [&answered, &*ran].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts[0], counts[1], "{dispatch:?}, sent: {is_sent}");
    }
}

/// The first of several such calls finds the provider closed; the others find no provider.
fn assert_unrun(error: &Error) {
    let codes = [Code::ProviderGone, Code::NotReady];
    assert!(codes.contains(&error.code()), "{error}");
    assert!(!error.may_have_run(), "{error}");
}

fn send(gate: &Gate, n: u32) -> Result<u32> {
    let archived = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let answer = gate.send(&n.to_le_bytes())?.wait()?;
    Ok(archived(&answer))
}

/// One handler runs, another call waits behind it, and a third finds the provider closed: `drain` waits for no
/// handler.
#[test]
fn what_was_taken_is_run_and_answered() {
    for dispatch in MODES {
        let scene = scene(dispatch);
        let (go_on, held) = channel::<()>();
        let (entered, entering) = channel();
        let (held, entered) = (Mutex::new(held), Mutex::new(entered));
        let entering = Mutex::new(entering);
        let handler = move |n: u32| {
            entered.lock().send(()).unwrap();
            held.lock().recv_timeout(PATIENCE).unwrap();
            n
        };
        scene
            .provider
            .provide("Provider.Hold", handler)
            .unwrap()
            .keep();
        let hold = scene.subscriber::<u32>("Provider.Hold");
        let (is_over, first) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            for n in 1..3 {
                let (hold, first) = (&hold, &first);
                scope.spawn(move || {
                    assert_eq!(hold.invoke((n,)).unwrap(), n);
                    first.fetch_add(1, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                entering.lock().recv_timeout(PATIENCE).unwrap();
                // By then the other call is in the ring, or in a handler.
                while scene.in_flight() < 2 {
                    thread::yield_now();
                }
                drain(&scene.provider);
                assert!(!scene.is_let_go());
                go_on.send(()).unwrap();
                go_on.send(()).unwrap();
                scene.expect_let_go();
                is_over.store(true, Ordering::Relaxed);
            });
            scene.pump_until(|| is_over.load(Ordering::Relaxed));
        });
        assert_eq!(first.load(Ordering::Relaxed), 2, "{dispatch:?}");
        let error = hold.invoke((3,)).unwrap_err();
        assert_unrun(&error);
        scene.expect_links();
    }
}

/// Handlers leave their answers for later; the drain waits for their responders.
#[test]
fn responders_are_waited_for() {
    for dispatch in MODES {
        let scene = scene(dispatch);
        let (sender, jobs) = channel::<Responder>();
        let (sender, jobs) = (Mutex::new(sender), Mutex::new(jobs));
        let signature = signature_of::<(u32,), u32>();
        let handler = move |_: Context<'_>, _: &[u8], responder| {
            sender.lock().send(responder).unwrap();
        };
        let _gate =
            dynamic::provide_later(&scene.provider, "Provider.Later", &signature, handler).unwrap();
        let gate = dynamic::open(&scene.caller, "Provider.Later", &signature).unwrap();
        let calls: Vec<_> = (0..2).map(|_| gate.send(&[0; 4]).unwrap()).collect();
        let taken = AtomicU32::new(0);
        let responders: Vec<_> = thread::scope(|scope| {
            let jobs = scope.spawn(|| {
                let job = |_| {
                    let job = jobs.lock().recv_timeout(PATIENCE).unwrap();
                    taken.fetch_add(1, Ordering::Relaxed);
                    job
                };
                (0..2).map(job).collect()
            });
            scene.pump_until(|| taken.load(Ordering::Relaxed) == 2);
            jobs.join().unwrap()
        });
        drain(&scene.provider);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for responder in responders {
                    thread::sleep(Duration::from_millis(10));
                    assert!(!scene.is_let_go());
                    responder.reply(&7_u32.to_le_bytes()).unwrap();
                }
                scene.expect_let_go();
                is_over.store(true, Ordering::Relaxed);
            });
            scene.pump_until(|| is_over.load(Ordering::Relaxed));
        });
        for call in calls {
            assert_eq!(&*call.wait().unwrap(), 7_u32.to_le_bytes());
        }
        scene.expect_links();
    }
}

/// Results that find no space in the link wait for it, even if no more calls are taken.
#[test]
fn results_that_wait_for_room_are_waited_for() {
    for dispatch in MODES {
        let scene = scene(dispatch);
        // Two of them do not fit the 64 KiB of a link.
        let handler = |n: u32| vec![n as u8; 40_000];
        scene
            .provider
            .provide("Provider.Long", handler)
            .unwrap()
            .keep();
        let long = scene.subscriber::<Vec<u8>>("Provider.Long");
        let (begun, answered) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for n in 0..8 {
                let (long, begun, answered) = (&long, &begun, &answered);
                scope.spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    match long.invoke((n,)) {
                        Ok(bytes) => assert_eq!(bytes, vec![n as u8; 40_000]),
                        Err(error) => assert!(!error.may_have_run(), "{error}"),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                while begun.load(Ordering::Relaxed) < 8 {
                    thread::yield_now();
                }
                drain(&scene.provider);
            });
            scene.pump_until(|| answered.load(Ordering::Relaxed) == 8);
        });
        scene.expect_let_go();
        scene.expect_links();
    }
}

/// No thread serves, and no call has to be waited for.
#[test]
fn a_plugin_without_a_thread_is_let_go_at_once() {
    for dispatch in MODES {
        let scene = scene(dispatch);
        drain(&scene.provider);
        if dispatch == Dispatch::Pump {
            scene.expect_let_go();
            continue;
        }
        scene.expect_let_go();
        let handler = |n: u32| n;
        // A gate that is provided after that belongs to another membership.
        scene
            .provider
            .provide("Provider.New", handler)
            .unwrap()
            .keep();
    }
}

/// Calls in the ring of a pump that is not pumped are run by the next pump; later calls are not.
#[test]
fn a_pump_runs_what_was_taken_when_it_is_pumped() {
    let scene = scene(Dispatch::Pump);
    scene
        .provider
        .provide("Provider.Add", |n: u32| n + 1)
        .unwrap()
        .keep();
    let add = scene.subscriber::<u32>("Provider.Add");
    thread::scope(|scope| {
        let call = scope.spawn(|| add.invoke((4,)));
        while scene.in_flight() == 0 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(10));
        drain(&scene.provider);
        assert!(!scene.is_let_go());
        let served = scene.provider.pump(Instant::now() + PATIENCE).unwrap();
        assert_eq!((served, call.join().unwrap().unwrap()), (1, 5));
    });
    scene.expect_let_go();
}

/// One plugin of a group drains, and then closes; the others go on.
#[test]
fn the_others_of_a_group_go_on() {
    let scene = scene(Dispatch::Thread);
    let group = Group::new().unwrap();
    let [first, second] = ["First", "Second"].map(|name| {
        let plugin = builder(&scene.broker, name)
            .group(&group)
            .connect()
            .unwrap();
        plugin
            .provide(&format!("{name}.Add"), |n: u32| n + 1)
            .unwrap()
            .keep();
        plugin
    });
    let [to_first, to_second] =
        ["First.Add", "Second.Add"].map(|gate| scene.subscriber::<u32>(gate));
    assert_eq!(to_first.invoke((1,)).unwrap(), 2);
    drain(&first);
    expect_let_go(&first);
    let error = to_first.invoke((1,)).unwrap_err();
    assert!(!error.may_have_run(), "{error}");
    assert_eq!(to_second.invoke((2,)).unwrap(), 3);
    drop(first);
    assert_eq!(to_second.invoke((3,)).unwrap(), 4);
    drop(second);
}

/// A plugin closes while it drains: what is left is ended as always.
#[test]
fn a_plugin_that_drains_can_be_dropped() {
    for dispatch in [Dispatch::Thread, Dispatch::Pump] {
        let scene = scene(dispatch);
        let (sender, jobs) = channel::<Responder>();
        let (sender, jobs) = (Mutex::new(sender), Mutex::new(jobs));
        let signature = signature_of::<(u32,), u32>();
        let handler = move |_: Context<'_>, _: &[u8], responder| {
            sender.lock().send(responder).unwrap();
        };
        dynamic::provide_later(&scene.provider, "Provider.Later", &signature, handler)
            .unwrap()
            .keep();
        let gate = dynamic::open(&scene.caller, "Provider.Later", &signature).unwrap();
        let call = gate.send(&[0; 4]).unwrap();
        let responder = match dispatch {
            Dispatch::Pump => {
                assert_eq!(scene.provider.pump(Instant::now() + PATIENCE).unwrap(), 1);
                jobs.lock().recv_timeout(PATIENCE).unwrap()
            }
            _ => jobs.lock().recv_timeout(PATIENCE).unwrap(),
        };
        let link = scene.caller.links()[0].clone();
        let said = || closing::look(link.inbox(), link.geometry());
        drain(&scene.provider);
        assert!(!scene.is_let_go());
        drop(scene.provider);
        assert_eq!(said(), Some(true), "it is done with the link");
        let error = call.wait().unwrap_err();
        assert!(
            error.code() == Code::ProviderGone && error.may_have_run(),
            "{error}"
        );
        drop(responder);
    }
}
