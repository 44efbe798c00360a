//! How dispatchers wait: they sleep until there is work. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Subscriber, WaitPolicy, dynamic, signature_of};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(broker: &Broker, name: &str, dispatch: Dispatch, direct: bool) -> Plugin {
    let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
    let builder = builder.dispatch(dispatch).direct_calls(direct);
    builder.wait_policy(WaitPolicy::Park).connect().unwrap()
}

/// Whether all threads of dispatchers in this process sleep.
fn are_asleep() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| stat.contains("(callgate-calls)"))
        .all(|stat| stat.rsplit_once(')').unwrap().1.starts_with(" S"))
}

#[track_caller]
fn expect_sleep(when: &str) {
    let (until, mut looks) = (Instant::now() + PATIENCE, 0);
    while looks < 5 {
        assert!(Instant::now() < until, "it never sleeps {when}");
        thread::sleep(Duration::from_millis(2));
        looks = if are_asleep() { looks + 1 } else { 0 };
    }
}

/// A dispatcher that waits for calls or for its turn sleeps, and uses no processor time.
#[test]
fn a_dispatcher_that_waits_sleeps_and_a_pump_waits_for_its_first_call() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let host = connect(&broker, "host", Dispatch::Thread, true);
    let (inside, entered) = channel();
    let (go, gone) = channel::<()>();
    let parts = Mutex::new((inside, gone));
    let hold = move || {
        let (inside, gone) = &*parts.lock().unwrap();
        inside.send(()).unwrap();
        gone.recv().unwrap();
    };
    let _gates = (
        host.provide("Host.Hold", hold).unwrap(),
        host.provide("Host.Good", || 1_u64).unwrap(),
    );
    let visitor = connect(&broker, "visitor", Dispatch::Pump, true);
    let far = connect(&broker, "far", Dispatch::Pump, true);
    let hold: Subscriber<(), ()> = visitor.subscriber("Host.Hold").unwrap();
    // A sent call goes to the dispatcher; a call that is waited for runs on its caller's thread.
    let good = dynamic::open(&far, "Host.Good", &signature_of::<(), u64>()).unwrap();
    hold.wait_ready(PATIENCE).unwrap();
    good.wait_ready(PATIENCE).unwrap();
    expect_sleep("without calls");
    thread::scope(|scope| {
        scope.spawn(|| hold.with_timeout(2 * PATIENCE).invoke(()).unwrap());
        entered.recv_timeout(PATIENCE).unwrap();
        let good = good.with_timeout(2 * PATIENCE);
        let call = good.send(&dynamic::encode(&()).unwrap()).unwrap();
        // Gives the call time to arrive.
        thread::sleep(Duration::from_millis(50));
        expect_sleep("while it waits for its turn");
        go.send(()).unwrap();
        let one = call.wait().unwrap();
        assert_eq!(dynamic::decode::<u64>(&one).unwrap(), 1);
    });

    // The pumping thread finds nothing at first.
    let begun = Instant::now();
    let until = begun + Duration::from_millis(50);
    assert_eq!(far.pump(until).unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

/// A pump did not count what it served after it had waited while a direct call had the turn: it said that it had served
/// nothing, and waited for its first call or event to its deadline.
#[test]
fn a_pump_counts_what_it_serves_after_a_wait_for_its_turn() {
    for is_event in [false, true] {
        let broker = Broker::builder().without_socket().start().unwrap();
        let [host, visitor] =
            ["host", "visitor"].map(|name| connect(&broker, name, Dispatch::Pump, true));
        let far = connect(&broker, "far", Dispatch::Pump, false);
        let ((inside, entered), (go, gone)) = (channel(), channel::<()>());
        let gone = Mutex::new(gone);
        let hold = move || {
            inside.send(()).unwrap();
            gone.lock().unwrap().recv().unwrap();
        };
        let heard = Arc::new(AtomicU32::new(0));
        let hears = heard.clone();
        let _kept = (
            host.provide("Host.Hold", hold).unwrap(),
            host.provide("Host.Good", || 1_u64).unwrap(),
            host.subscribe("Far.News", move |n: u32| hears.store(n, Ordering::Relaxed)),
        );
        let hold: Subscriber<(), ()> = visitor.subscriber("Host.Hold").unwrap();
        let good = dynamic::open(&far, "Host.Good", &signature_of::<(), u64>()).unwrap();
        hold.wait_ready(PATIENCE).unwrap();
        good.wait_ready(PATIENCE).unwrap();
        let news = far.topic::<(u32,)>("Far.News").unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        while is_event && heard.load(Ordering::Relaxed) == 0 {
            news.send(&(1,)).unwrap();
            host.pump(soon()).unwrap();
        }
        host.pump(soon()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Whoever pumps may also make direct calls.
                host.pump(Instant::now()).unwrap();
                hold.with_timeout(2 * PATIENCE).invoke(()).unwrap();
            });
            entered.recv_timeout(PATIENCE).unwrap();
            match is_event {
                true => news.send(&(2,)).unwrap(),
                false => drop(good.send(&dynamic::encode(&()).unwrap()).unwrap()),
            }
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(100));
                go.send(()).unwrap();
            });
            let begun = Instant::now();
            assert_eq!(host.pump(begun + PATIENCE).unwrap(), 1, "{is_event}");
            assert!(begun.elapsed() < PATIENCE / 2);
        });
    }
}

/// A thread that pumps two plugins runs handlers of both while it waits in one of them: a call of the chain came back
/// to the other plugin, and nobody served it.
#[test]
fn who_pumps_two_plugins_serves_both_while_it_waits() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let [one, two] = ["one", "two"].map(|name| connect(&broker, name, Dispatch::Pump, false));
    let [far, caller] =
        ["far", "caller"].map(|name| connect(&broker, name, Dispatch::Thread, false));
    let open = |plugin: &Plugin, gate: &str| {
        let opened: Subscriber<(), u32> = plugin.subscriber(gate).unwrap();
        opened.wait_ready(PATIENCE).unwrap();
        opened.with_timeout(PATIENCE)
    };
    let _leaf = two.provide("Two.Leaf", || 7_u32).unwrap();
    let leaf = open(&far, "Two.Leaf");
    let _pass = far.provide("Far.Pass", move || leaf.invoke(()).unwrap());
    let pass = open(&one, "Far.Pass");
    let _ask = one.provide("One.Ask", move || pass.invoke(()).unwrap());
    let ask = open(&caller, "One.Ask");
    thread::scope(|scope| {
        let asked = scope.spawn(|| ask.invoke(()));
        two.pump(Instant::now()).unwrap();
        let begun = Instant::now();
        assert_eq!(one.pump(begun + PATIENCE).unwrap(), 1);
        assert_eq!(asked.join().unwrap().unwrap(), 7);
        assert!(begun.elapsed() < PATIENCE / 2);
    });
}
