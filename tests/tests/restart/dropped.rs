//! Plugins that are dropped by events of their brokers, on various threads, and calls that are made there.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{BrokerEvent, Code, Dispatch, Group, Plugin};
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// Longer than old links are used, by enough for them to be gone.
const DRAINED: Duration = Duration::from_secs(8);

/// A plugin that is dropped together with another value.
struct Owned {
    plugin: Mutex<Option<Plugin>>,
    dropped: Sender<Option<String>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let plugin = self.plugin.lock().expect("no panic").take();
        if plugin.is_some() {
            drop(plugin);
            let here = thread::current().name().map(str::to_owned);
            // The receiving test may have ended.
            let _ = self.dropped.send(here);
        }
    }
}

fn owned() -> (Arc<Owned>, Receiver<Option<String>>) {
    let (dropped, drops) = channel();
    let plugin = Mutex::new(None);
    (Arc::new(Owned { plugin, dropped }), drops)
}

/// The thread that closes old links may drop the last reference to a handler, which has captured the plugin of those
/// links. It does not wait for itself.
#[test]
fn a_plugin_is_dropped_by_what_it_lets_go_itself() {
    let mut bus = Bus::start(programs!());
    let provider = bus.builder("Provider").direct_calls(true);
    let provider = provider.connect().unwrap();
    let caller = bus.plugin("Caller");
    let (held, drops) = owned();
    let handler = {
        let held = held.clone();
        move || u32::from(held.plugin.lock().unwrap().is_some())
    };
    let provided = provider.provide("Provider.Held", handler).unwrap();
    let gate = open::<(), u32>(&caller, "Provider.Held");
    assert_eq!(gate.invoke(()).unwrap(), 0);
    let told = Told::by(&caller);
    bus.kill_broker();
    told.lost();
    drop(provided);
    *held.plugin.lock().unwrap() = Some(caller);
    drop(held);
    bus.start_broker();
    let here = drops.recv_timeout(PATIENCE).expect("it is dropped");
    assert_eq!(here.as_deref(), Some("callgate-return"));
    assert_eq!(code(gate.invoke(())), Code::Closed);
}

/// The function that is told about the broker may drop the plugin, keep it, or make calls.
#[test]
fn who_is_told_drops_the_plugin() {
    let mut bus = Bus::start(programs!());
    for is_lost in [true, false] {
        let plugin = bus.plugin("P");
        let (held, drops) = owned();
        let of_callback = held.clone();
        plugin.on_broker(move |event| {
            if is_lost == matches!(event, BrokerEvent::Lost(_)) {
                let plugin = of_callback.plugin.lock().unwrap().take();
                assert!(plugin.is_some());
                drop(plugin);
                of_callback.dropped.send(None).unwrap();
            }
        });
        *held.plugin.lock().unwrap() = Some(plugin);
        drop(held);
        bus.restart_broker();
        drops.recv_timeout(PATIENCE).expect("it is dropped");
        let late = bus.plugin("P");
        drop(late);
    }
}

/// A group's control thread may drop a plugin while the function that is told about brokers connects another plugin
/// of the group. Neither waits for the other.
#[test]
fn who_is_told_connects_while_the_control_thread_drops_the_plugin() {
    let mut bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    // It does not pump, so only its caller's thread holds one of its handlers.
    let provider = bus.builder("Provider").dispatch(Dispatch::Pump);
    let provider = provider.direct_calls(true).connect().unwrap();
    let [caller, plugin] =
        ["Caller", "P"].map(|name| bus.builder(name).group(&group).connect().unwrap());
    let (held, drops) = owned();
    let handler = {
        let held = held.clone();
        move || u32::from(held.plugin.lock().unwrap().is_some())
    };
    let provided = provider.provide("Provider.Held", handler).unwrap();
    let _gate = open::<(), u32>(&caller, "Provider.Held");
    let told = Told::by(&caller);
    let (go_on, waits) = channel();
    let (waits, (connected, connects)) = (Mutex::new(waits), channel());
    let another = (bus.socket(), group);
    plugin.on_broker(move |event| {
        if matches!(event, BrokerEvent::Back { .. }) {
            waits.lock().unwrap().recv().unwrap();
            let another = Plugin::builder("Another")
                .group(&another.1)
                .socket(&another.0);
            connected.send(another.connect().is_ok()).unwrap();
        }
    });
    bus.restart_broker();
    told.lost();
    told.back();
    // By now the new link is used.
    thread::sleep(DRAINED);
    *held.plugin.lock().unwrap() = Some(plugin);
    drop(held);
    // By this thread, if the caller does not have the new link yet.
    let goes_on = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        go_on.send(()).unwrap();
    });
    drop(provided);
    goes_on.join().unwrap();
    drops.recv_timeout(PATIENCE).expect("it is dropped");
    assert!(connects.recv_timeout(PATIENCE).expect("it connects"));
}

/// While a group comes back, a handler of one plugin drops another plugin of the group, again and again.
#[test]
fn plugins_of_a_group_are_dropped_in_handlers_while_it_comes_back() {
    let mut bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let keeper = bus.builder("Keeper").group(&group).direct_calls(false);
    let keeper = keeper.connect().unwrap();
    let slot = Arc::new(Mutex::new(None::<Plugin>));
    let of_handler = slot.clone();
    let drop_it = move || {
        let plugin = of_handler.lock().unwrap().take();
        u32::from(plugin.is_some())
    };
    keeper.provide("Keeper.Drop", drop_it).unwrap().keep();
    let caller = bus.plugin("Caller");
    let gate = open::<(), u32>(&caller, "Keeper.Drop");
    let begun = Instant::now();
    for n in 0..12 {
        let other = bus.builder("Other").group(&group).connect().unwrap();
        other.provide("Other.A", || 1_u32).unwrap().keep();
        *slot.lock().unwrap() = Some(other);
        bus.kill_broker();
        thread::sleep(Duration::from_millis(n * 7 % 40));
        bus.start_broker();
        thread::sleep(Duration::from_millis(n * 37 % 300));
        assert_eq!(gate.invoke(()).unwrap(), 1);
    }
    assert!(begun.elapsed() < 3 * PATIENCE);
    drop(group);
}

/// A pump whose program does not pump for longer than old links are used: its waiting call moves to the new link, and
/// runs once.
#[test]
fn a_call_of_a_pump_that_does_not_pump_moves_and_runs_once() {
    let mut bus = Bus::start(programs!());
    let pump = bus.builder("Pump").dispatch(Dispatch::Pump).connect();
    let pump = pump.unwrap();
    let runs = Arc::new(Mutex::new(0_u32));
    let of_handler = runs.clone();
    let count = move || {
        let mut runs = of_handler.lock().unwrap();
        *runs += 1;
        *runs
    };
    pump.provide("Pump.Count", count).unwrap().keep();
    let caller = bus.plugin("Caller");
    let gate = open::<(), u32>(&caller, "Pump.Count").with_timeout(2 * PATIENCE);
    let told = [&pump, &caller].map(Told::by);
    let call = thread::spawn(move || gate.invoke(()));
    thread::sleep(Duration::from_millis(100));
    bus.restart_broker();
    for told in &told {
        told.lost();
        told.back();
    }
    thread::sleep(DRAINED);
    let until = Instant::now() + PATIENCE;
    while !call.is_finished() && Instant::now() < until {
        pump.pump(Instant::now() + Duration::from_millis(10))
            .unwrap();
    }
    assert_eq!(call.join().unwrap().unwrap(), 1);
    assert_eq!(*runs.lock().unwrap(), 1);
}
