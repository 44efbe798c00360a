//! Handlers of a group: chains that come back into it, and a handler that delays the others.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Dispatch, Group, Plugin};
use callgate_tests::groups::provide_relay;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

fn in_group(bus: &Bus, group: &Group, name: &str) -> Arc<Plugin> {
    let builder = bus.builder(name).direct_calls(true).group(group);
    Arc::new(builder.connect().expect("the bus"))
}

/// While a handler waits, a call of its chain that comes back to another plugin of the group is served. Otherwise
/// both would wait until the deadline.
#[test]
fn chains_come_back_to_any_plugin_of_the_group() {
    for direct in [true, false] {
        let bus = Bus::start(programs!());
        let _far = bus.peer("relay", "X", &["A", "B", "C", "X"]);
        let group = Group::new().unwrap();
        let names = ["A", "B", "C"];
        let plugins = names.map(|name| {
            let builder = bus.builder(name).direct_calls(direct).group(&group);
            builder.connect().unwrap()
        });
        let _gates = plugins
            .each_ref()
            .map(|plugin| provide_relay(plugin, &["A", "B", "C", "X"]));
        let outside = bus
            .builder("Outside")
            .direct_calls(direct)
            .connect()
            .unwrap();
        let caller = bus.plugin("Caller");
        for plugin in [&outside, &caller, &plugins[2]] {
            let pass = open::<(Vec<String>,), Vec<String>>(plugin, "A.Pass");
            for route in [
                "A X B X A",
                "A B C A",
                "A X C B X B A X C",
                "A A A",
                "A X X X A",
            ] {
                let route: Vec<String> = route.split(' ').map(str::to_owned).collect();
                let passed = pass.invoke((route[1..].to_vec(),));
                assert_eq!(passed.unwrap(), route, "direct: {direct}");
            }
        }
    }
}

/// Handlers of one group never run at the same time, also if callers of this process run them.
#[test]
fn handlers_of_a_group_run_one_at_a_time() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let (inside, ran) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let plugins: Vec<_> = (0..4)
        .map(|n| {
            let plugin = in_group(&bus, &group, &format!("P{n}"));
            let (inside, ran) = (inside.clone(), ran.clone());
            let handler = move || {
                assert!(!inside.swap(true, Ordering::SeqCst), "another one runs");
                thread::yield_now();
                ran.fetch_add(1, Ordering::SeqCst);
                inside.store(false, Ordering::SeqCst);
            };
            plugin
                .provide(&format!("P{n}.Run"), handler)
                .unwrap()
                .keep();
            plugin
        })
        .collect();
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let builder = bus.builder(&format!("C{n}")).direct_calls(true);
            match n % 2 {
                0 => builder.connect().unwrap(),
                // Its calls come through links.
                _ => bus.plugin(&format!("D{n}")),
            }
        })
        .collect();
    thread::scope(|scope| {
        for (n, caller) in callers.iter().enumerate() {
            scope.spawn(move || {
                let gate = open::<(), ()>(caller, &format!("P{n}.Run"));
                let other = open::<(), ()>(caller, &format!("P{}.Run", (n + 1) % 4));
                for _ in 0..500 {
                    gate.invoke(()).unwrap();
                    other.invoke(()).unwrap();
                }
            });
        }
    });
    assert_eq!(ran.load(Ordering::SeqCst), 4 * 2 * 500);
    drop(plugins);
}

/// While a slow handler runs, calls to other plugins of the group wait, and end at their deadlines.
#[test]
fn a_slow_handler_delays_the_others_and_their_deadlines_pass() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let [a, b] = ["A", "B"].map(|name| in_group(&bus, &group, name));
    let (go_on, waits) = mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let is_inside = Arc::new(AtomicBool::new(false));
    let inside = is_inside.clone();
    let slow = move || {
        inside.store(true, Ordering::SeqCst);
        let _ = waits.lock().unwrap().recv_timeout(PATIENCE);
    };
    a.provide("A.Slow", slow).unwrap().keep();
    let runs = AtomicU32::new(0);
    let quick = move || runs.fetch_add(1, Ordering::SeqCst);
    b.provide("B.Quick", quick).unwrap().keep();
    let (link, direct) = (
        bus.plugin("L"),
        bus.builder("D").direct_calls(true).connect().unwrap(),
    );
    let slow = open::<(), ()>(&link, "A.Slow");
    let quick = [&link, &direct].map(|plugin| open::<(), u32>(plugin, "B.Quick"));
    thread::scope(|scope| {
        scope.spawn(|| slow.invoke(()).unwrap());
        await_that("it is slow", || is_inside.load(Ordering::SeqCst));
        for gate in &quick {
            let hasty = gate.with_timeout(Duration::from_millis(30));
            assert_eq!(code(hasty.invoke(())), Code::Timeout);
        }
        let patient = scope.spawn(|| quick[0].invoke(()));
        go_on.send(()).unwrap();
        // Calls whose deadline had passed were not run.
        assert_eq!(patient.join().unwrap().unwrap(), 0);
    });
    assert_eq!(quick.map(|gate| gate.invoke(()).unwrap()), [1, 2]);
}

/// A group refuses a pool, which would run its handlers at the same time, and a pump, which would run none while
/// nobody pumps.
#[test]
fn a_group_has_no_pool_no_pump_and_no_inspectors() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let builder = || bus.builder("A").group(&group);
    for builder in [
        builder().dispatch(Dispatch::Pool(2)),
        builder().dispatch(Dispatch::Pump),
        builder().inspector(),
    ] {
        let error = builder.connect().map(drop).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("leave out `group`, or"), "{error}");
    }
    let plugin = builder().dispatch(Dispatch::Thread).connect().unwrap();
    let pumped = plugin.pump(std::time::Instant::now());
    assert_eq!(code(pumped), Code::InvalidArgument);
}
