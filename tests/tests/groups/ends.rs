//! Plugins of a group, their peers and their brokers end, and the others go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Context, Group, HandlerError, Plugin, PluginBuilder};
use callgate_tests::groups::member;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// A plugin of a group with a gate that adds one to its argument.
fn adder(bus: &Bus, group: &Group, name: &str) -> Plugin {
    adder_by(bus.builder(name).group(group), name)
}

fn adder_by(builder: PluginBuilder, name: &str) -> Plugin {
    let plugin = builder.connect().expect("the bus");
    plugin
        .provide(&format!("{name}.Add"), |n: u64| n + 1)
        .expect("providing")
        .keep();
    plugin
}

/// When a peer dies, only the links with it end, although one thread watches all links of the group.
#[test]
fn a_peer_s_death_ends_the_links_with_it_and_no_others() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let plugins: Vec<_> = (0..6)
        .map(|n| adder(&bus, &group, &member("M", n)))
        .collect();
    let peers: Vec<Process> = (0..3)
        .map(|n| bus.peer("provider", &member("P", n), &[]))
        .collect();
    // Each plugin calls each peer.
    let gates: Vec<Vec<_>> = plugins
        .iter()
        .map(|plugin| {
            (0..3)
                .map(|n| open::<(u64, u64), u64>(plugin, &format!("P{n}.Add")))
                .collect()
        })
        .collect();
    for (killed, peer) in peers.into_iter().enumerate() {
        let of = gates.iter().map(|gates| &gates[killed]);
        peer.kill();
        for gate in of {
            await_that("the gate is gone", || {
                let error = gate.with_timeout(Duration::from_millis(500)).invoke((1, 2));
                let error = error.err().map(|error| error.code());
                [Some(Code::ProviderGone), Some(Code::NotReady)].contains(&error)
            });
        }
        for gate in gates.iter().flat_map(|gates| &gates[killed + 1..]) {
            assert_eq!(
                gate.invoke((1, 2)).unwrap(),
                3,
                "after the death of P{killed}"
            );
        }
    }
    let caller = bus.plugin("Caller");
    for n in 0..6 {
        assert_eq!(
            open::<(u64,), u64>(&caller, &format!("M{n}.Add"))
                .invoke((1,))
                .unwrap(),
            2
        );
    }
}

/// Plugins can be dropped while all are called: neither the calls of others nor their own hang.
#[test]
fn plugins_may_be_dropped_while_all_are_called() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let mut plugins: Vec<_> = (0..8)
        .map(|n| adder(&bus, &group, &member("M", n)))
        .collect();
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let call = |caller: &Plugin| {
        let open = |n| open::<(u64,), u64>(caller, &format!("M{n}.Add"));
        let gates: Vec<_> = (0..8).map(open).collect();
        while !is_over.load(Ordering::SeqCst) {
            for (n, gate) in gates.iter().enumerate() {
                match gate.invoke((7,)) {
                    Ok(sum) => assert_eq!(sum, 8),
                    Err(error) => {
                        assert!(n % 2 == 1, "M{n} was not dropped: {error}");
                        let known = [Code::NotReady, Code::ProviderGone];
                        assert!(known.contains(&error.code()), "{error}");
                    }
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let callers: Vec<_> = (0..4)
        .map(|n| {
            bus.builder(&member("C", n))
                .direct_calls(n % 2 == 0)
                .connect()
                .unwrap()
        })
        .collect();
    thread::scope(|scope| {
        let running: Vec<_> = callers
            .iter()
            .map(|caller| scope.spawn(|| call(caller)))
            .collect();
        for round in 0..20 {
            let seen = answered.load(Ordering::SeqCst);
            await_that("they are called", || {
                answered.load(Ordering::SeqCst) > seen + 200
                    || running.iter().any(thread::ScopedJoinHandle::is_finished)
            });
            let gone = 2 * (round % 4) + 1;
            plugins.remove(gone);
            plugins.insert(gone, adder(&bus, &group, &member("M", gone as u64)));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    // The plugins that came last can be called.
    for n in 0..8 {
        let add = open::<(u64,), u64>(&callers[0], &format!("M{n}.Add"));
        assert_eq!(add.invoke((1,)).unwrap(), 2);
    }
}

/// When a plugin is dropped, its waiting calls are answered at once, not at their deadlines.
#[test]
fn calls_that_a_dropped_plugin_has_not_handled_are_answered() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let (a, b) = (adder(&bus, &group, "A"), adder(&bus, &group, "B"));
    let (go_on, waits) = mpsc::channel::<()>();
    let (is_inside, waits) = (Arc::new(AtomicBool::new(false)), Mutex::new(waits));
    let inside = is_inside.clone();
    let hold = move || {
        inside.store(true, Ordering::SeqCst);
        let _ = waits.lock().unwrap().recv_timeout(PATIENCE);
    };
    a.provide("A.Hold", hold).unwrap().keep();
    let caller = bus.plugin("Caller");
    let (hold, add) = (
        open::<(), ()>(&caller, "A.Hold"),
        open::<(u64,), u64>(&caller, "B.Add"),
    );
    let others = open::<(u64,), u64>(&caller, "A.Add");
    let is_dropped = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| hold.invoke(()).unwrap());
        await_that("the group's thread is held", || {
            is_inside.load(Ordering::SeqCst)
        });
        let waiting: Vec<_> = (0..5)
            .map(|n| {
                scope.spawn({
                    let add = &add;
                    move || add.invoke((n,))
                })
            })
            .collect();
        let waits_too = scope.spawn(|| others.invoke((1,)));
        thread::sleep(Duration::from_millis(50));
        scope.spawn(|| {
            drop(b);
            is_dropped.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(50));
        assert!(
            !is_dropped.load(Ordering::SeqCst),
            "a handler of the group is waited for"
        );
        go_on.send(()).unwrap();
        for call in waiting {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
        }
        assert_eq!(waits_too.join().unwrap().unwrap(), 2);
    });
    assert!(is_dropped.load(Ordering::SeqCst));
}

/// A handler may drop other plugins of its group, and its own, without waiting for itself.
#[test]
fn a_handler_may_drop_other_plugins_of_its_group_and_its_own() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let group = Group::new().unwrap();
        let others = ["A", "B", "C"].map(|name| Some(adder(&bus, &group, name)));
        let plugins = Arc::new(Mutex::new(others));
        let stays = adder(&bus, &group, "Stays");
        let there = plugins.clone();
        let drop_one = move |n: u32| -> bool {
            let gone = there.lock().unwrap()[n as usize].take();
            gone.map(drop).is_some()
        };
        let own = drop_one.clone();
        stays.provide("Stays.Drop", drop_one).unwrap().keep();
        if let Some(a) = &plugins.lock().unwrap()[0] {
            a.provide("A.Drop", own).unwrap().keep();
        }
        let caller = bus
            .builder("Caller")
            .direct_calls(direct)
            .connect()
            .unwrap();
        let drop_by = |name: &str| open::<(u32,), bool>(&caller, &format!("{name}.Drop"));
        let adds = ["A", "B", "C"].map(|name| open::<(u64,), u64>(&caller, &format!("{name}.Add")));
        let (by_a, by_stays) = (drop_by("A"), drop_by("Stays"));
        let expect_gone = |n: usize| {
            await_that("it is gone", || {
                let error = adds[n].invoke((1,)).unwrap_err().code();
                [Code::NotReady, Code::ProviderGone].contains(&error)
            });
        };
        assert!(by_stays.invoke((1,)).unwrap());
        expect_gone(1);
        assert!(by_a.invoke((2,)).unwrap());
        expect_gone(2);
        assert_eq!(adds[0].invoke((1,)).unwrap(), 2);
        // It drops its own plugin: whether the answer arrives before the link ends is open.
        if let Err(error) = by_a.invoke((0,)) {
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
        }
        expect_gone(0);
        assert!(!by_stays.invoke((0,)).unwrap(), "direct: {direct}");
        // Names and gates are free again, also in this group.
        let again = adder(&bus, &group, "A");
        assert_eq!(
            open::<(u64,), u64>(&caller, "A.Add").invoke((1,)).unwrap(),
            2
        );
        drop((again, stays));
    }
}

/// While a handler waits for an answer, another plugin of its group may be dropped; the thread stays.
#[test]
fn a_plugin_may_be_dropped_under_a_handler_of_another_that_waits() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let (a, b) = (
        adder(&bus, &group, "A"),
        Mutex::new(Some(adder(&bus, &group, "B"))),
    );
    let far = bus.plugin("Far");
    far.provide("Far.DropB", move || drop(b.lock().unwrap().take()))
        .unwrap()
        .keep();
    let drop_b = open::<(), ()>(&a, "Far.DropB");
    let outer = move |context: Context<'_>| -> Result<u32, HandlerError> {
        drop_b.invoke(())?;
        Ok(u32::from(context.depth()))
    };
    a.provide("A.Outer", outer).unwrap().keep();
    let caller = bus.plugin("Caller");
    let add_b = open::<(u64,), u64>(&caller, "B.Add");
    assert_eq!(open::<(), u32>(&caller, "A.Outer").invoke(()).unwrap(), 1);
    let error = add_b.invoke((1,)).unwrap_err().code();
    assert!(
        [Code::NotReady, Code::ProviderGone].contains(&error),
        "{error}"
    );
    assert_eq!(
        open::<(u64,), u64>(&caller, "A.Add").invoke((1,)).unwrap(),
        2
    );
}

/// A withdrawn handler that has captured a plugin of its group is dropped on the group's thread, which does not wait
/// for itself.
#[test]
fn a_handler_may_hold_a_plugin_of_its_group() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let a = adder(&bus, &group, "A");
    let caller = bus.plugin("Caller");
    let add = open::<(u64,), u64>(&caller, "A.Add");
    for _ in 0..20 {
        let b = adder(&bus, &group, "B");
        let provider = Arc::new(Mutex::new(None));
        let own = provider.clone();
        let holds = move || {
            // It is withdrawn now, and dropped by the thread that runs it, after it has run.
            drop(own.lock().unwrap().take());
            b.name().len() as u32
        };
        *provider.lock().unwrap() = Some(a.provide("A.Holds", holds).unwrap());
        let gate = open::<(), u32>(&caller, "A.Holds");
        assert_eq!(gate.invoke(()).unwrap(), 1);
        await_that("B is gone", || bus.builder("B").connect().is_ok());
        assert_eq!(add.invoke((1,)).unwrap(), 2);
    }
}

/// After the end of the broker, links of a group are still served. A new plugin of the group, on the next broker,
/// gets a doorbell that is known there.
#[test]
fn links_of_a_group_outlive_the_broker_and_the_next_one_takes_new_plugins() {
    let mut bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let old = ["A", "B"].map(|name| {
        let builder = bus.builder(name).group(&group);
        adder_by(builder.outlives_broker(false), name)
    });
    let caller = bus.mortal_plugin("Caller");
    let gates = ["A.Add", "B.Add"].map(|gate| open::<(u64,), u64>(&caller, gate));
    bus.kill_broker();
    for plugin in &old {
        let reason = plugin
            .wait_closed_for(PATIENCE)
            .expect("the broker has ended");
        assert_eq!(reason.code(), Code::BrokerGone);
    }
    let call_all = || gates.each_ref().map(|gate| gate.invoke((1,)).unwrap());
    assert_eq!(call_all(), [2, 2]);
    bus.start_broker();
    let new = ["A", "C"].map(|name| adder(&bus, &group, name));
    let new_caller = bus.plugin("Caller");
    let new_gates = ["A.Add", "C.Add"].map(|gate| open::<(u64,), u64>(&new_caller, gate));
    for _ in 0..10 {
        // This lets the group's thread fall asleep.
        thread::sleep(Duration::from_millis(5));
        assert_eq!(call_all(), [2, 2]);
        thread::sleep(Duration::from_millis(5));
        let answers = new_gates.each_ref().map(|gate| gate.invoke((1,)).unwrap());
        assert_eq!(answers, [2, 2]);
    }
    drop(old);
    let error = gates[0].invoke((1,)).unwrap_err().code();
    assert!(
        [Code::NotReady, Code::ProviderGone, Code::BrokerGone].contains(&error),
        "{error}"
    );
    assert_eq!(new_gates[0].invoke((1,)).unwrap(), 2);
    drop(new);
}

/// A forked child that drops a group does not join threads, which are its parent's.
#[test]
fn a_forked_child_leaves_the_group_to_its_parent() {
    let bus = Bus::start(programs!());
    let mut forking = bus.peer("forked-group", "F", &[]);
    assert_eq!(forking.ask("go on"), "Err(Closed) true");
}
