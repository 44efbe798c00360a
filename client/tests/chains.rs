//! Handlers that wait for calls of their own, and calls that wait for those handlers. The broker runs in this
//! process.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::dynamic::{self, Responder};
use callgate_client::{
    Code, Dispatch, GateOptions, GateType, Plugin, Provider, Subscriber, WaitPolicy, signature_of,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(broker: &Broker, name: &str, policy: WaitPolicy) -> Plugin {
    let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
    let builder = builder.direct_calls(false).wait_policy(policy);
    builder.dispatch(Dispatch::Thread).connect().unwrap()
}

/// Opens a gate, and waits until it is there.
fn open<R: GateType>(plugin: &Plugin, gate: &str) -> Subscriber<(), R> {
    let opened = plugin.subscriber(gate).unwrap();
    opened.wait_ready(PATIENCE).unwrap();
    opened.with_timeout(PATIENCE)
}

/// A handler that reports that it runs, and waits until it is released.
fn hold() -> (impl Fn() + Send + Sync + 'static, Receiver<()>, Sender<()>) {
    let ((inside, entered), (go, gone)) = (channel(), channel());
    let parts = Mutex::new((inside, gone));
    let handler = move || {
        let (inside, gone) = &*parts.lock().unwrap();
        inside.send(()).unwrap();
        gone.recv().unwrap();
    };
    (handler, entered, go)
}

/// A gate whose calls are never answered.
fn provide_silence(plugin: &Plugin, gate: &str) -> Provider {
    let kept: Mutex<Vec<Responder>> = Mutex::default();
    let keep = move |_: callgate_client::Context<'_>, _: &[u8], responder| {
        kept.lock().unwrap().push(responder);
    };
    dynamic::provide_later(plugin, gate, &signature_of::<(), ()>(), keep).unwrap()
}

/// A handler that waits still ends at its deadline, although calls to a re-entrant gate of its plugin never stop.
#[test]
fn calls_of_a_reentrant_gate_do_not_hold_a_handler_that_waits() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let far = connect(&broker, "far", WaitPolicy::Park);
    let _silence = provide_silence(&far, "Far.Silence");
    let host = connect(&broker, "host", WaitPolicy::default());
    let silence: Subscriber<(), ()> = host.subscriber("Far.Silence").unwrap();
    silence.wait_ready(PATIENCE).unwrap();
    let silence = silence.with_timeout(Duration::from_millis(300));
    let ask = move || {
        let error = silence.invoke(()).unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
    };
    let reentrant = GateOptions::new().reentrant(true);
    host.set_gate_options("Host.Again", reentrant).unwrap();
    let again = |_: callgate_client::Context<'_>, _: &[u8]| {
        thread::sleep(Duration::from_millis(5));
        Ok(Vec::new())
    };
    let signature = signature_of::<(), ()>();
    let _gates = (
        host.provide("Host.Ask", ask).unwrap(),
        dynamic::provide(&host, "Host.Again", &signature, again).unwrap(),
    );
    let caller = connect(&broker, "caller", WaitPolicy::default());
    let ask: Subscriber<(), ()> = caller.subscriber("Host.Ask").unwrap();
    let again = dynamic::open(&caller, "Host.Again", &signature).unwrap();
    ask.wait_ready(PATIENCE).unwrap();
    again.wait_ready(PATIENCE).unwrap();
    let again = again.with_timeout(2 * PATIENCE);
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            // There are always some calls in the ring.
            let mut under_way = std::collections::VecDeque::new();
            while !is_over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                under_way.push_back(again.send(&[]).unwrap());
                if under_way.len() > 100 {
                    under_way.pop_front().unwrap().wait().unwrap();
                }
            }
        });
        let outcome = ask.with_timeout(3 * PATIENCE).invoke(());
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// A thread that never sleeps does not sleep either after its wait was reported to the broker.
#[test]
fn a_handler_that_never_sleeps_does_not_sleep_in_a_wait_that_lasts() {
    const ROUNDS: u64 = 10;
    let broker = Broker::builder().without_socket().start().unwrap();
    let far = connect(&broker, "far", WaitPolicy::Park);
    let slow = || thread::sleep(Duration::from_millis(120));
    let _slow = far.provide("Far.Slow", slow).unwrap();
    let host = connect(&broker, "host", WaitPolicy::Spin);
    let slow: Subscriber<(), ()> = host.subscriber("Far.Slow").unwrap();
    slow.wait_ready(PATIENCE).unwrap();
    let slow = slow.with_timeout(PATIENCE);
    let (told, telling) = channel();
    let ask = move || {
        let before = sleeps();
        slow.invoke(()).unwrap();
        told.send(sleeps() - before).unwrap();
    };
    let _ask = host.provide("Host.Ask", ask).unwrap();
    let caller = connect(&broker, "caller", WaitPolicy::Park);
    let ask: Subscriber<(), ()> = caller.subscriber("Host.Ask").unwrap();
    ask.wait_ready(PATIENCE).unwrap();
    (0..ROUNDS).for_each(|_| ask.with_timeout(PATIENCE).invoke(()).unwrap());
    let slept: u64 = telling.try_iter().sum();
    assert!(slept < ROUNDS, "it slept {slept} times");
}

/// A thread that pumps more plugins than a record can name may wait for long: it does not report all of them, which
/// would end the session.
#[test]
fn a_thread_that_pumps_many_plugins_may_wait_for_long() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let pumps: Vec<_> = (0..140)
        .map(|n| {
            let builder = Plugin::builder(&format!("pump{n}"));
            let builder = builder.descriptor(broker.connect().unwrap());
            let builder = builder.direct_calls(false).dispatch(Dispatch::Pump);
            builder.connect().unwrap()
        })
        .collect();
    let far = connect(&broker, "far", WaitPolicy::Park);
    let slow = || thread::sleep(Duration::from_millis(300));
    let _slow = far.provide("Far.Slow", slow).unwrap();
    let slow: Subscriber<(), ()> = pumps[0].subscriber("Far.Slow").unwrap();
    slow.wait_ready(PATIENCE).unwrap();
    for pump in &pumps {
        pump.pump(Instant::now()).unwrap();
    }
    slow.with_timeout(PATIENCE).invoke(()).unwrap();
    // By now the broker has read everything that it was told before.
    assert!(pumps[0].list().is_ok());
    assert_eq!(
        pumps[0]
            .wait_closed_for(Duration::ZERO)
            .map(|why| why.code()),
        None
    );
}

/// Gates take turns: calls of one gate in the queue do not all come before a call of another gate in the ring.
/// Returns the order in which the calls ran. The caller tries again if not all of them were in the queue within
/// `time`.
fn run_few_beside_many(time: Duration) -> Vec<&'static str> {
    const MANY: usize = 30;
    let broker = Broker::builder().without_socket().start().unwrap();
    let [far, host, caller] =
        ["far", "host", "caller"].map(|name| connect(&broker, name, WaitPolicy::Park));
    let (waits, entered, go) = hold();
    let _waits = far.provide("Far.Waits", waits).unwrap();
    let waits: Subscriber<(), ()> = open(&host, "Far.Waits");
    let (first, begun, go_on) = hold();
    let order: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let (of_many, of_few) = (order.clone(), order.clone());
    let many = move || {
        let is_first = {
            let mut order = of_many.lock().unwrap();
            order.push("many");
            order.len() == 1
        };
        if is_first {
            first();
        }
    };
    let _gates = (
        host.provide("Host.Outer", move || waits.invoke(()).unwrap()),
        host.provide("Host.Many", many),
        host.provide("Host.Few", move || of_few.lock().unwrap().push("few")),
    );
    let outer: Subscriber<(), ()> = open(&caller, "Host.Outer");
    let [many, few] = ["Host.Many", "Host.Few"].map(|gate| {
        let gate = dynamic::open(&caller, gate, &signature_of::<(), ()>()).unwrap();
        gate.wait_ready(PATIENCE).unwrap();
        gate.with_timeout(PATIENCE)
    });
    thread::scope(|scope| {
        let outer = scope.spawn(|| outer.invoke(()).unwrap());
        entered.recv_timeout(PATIENCE).unwrap();
        let nothing = dynamic::encode(&()).unwrap();
        let mut sent = Vec::from_iter((0..MANY).map(|_| many.send(&nothing).unwrap()));
        // The waiting handler takes them from the ring.
        thread::sleep(time);
        go.send(()).unwrap();
        begun.recv_timeout(PATIENCE).unwrap();
        sent.push(few.send(&nothing).unwrap());
        go_on.send(()).unwrap();
        sent.into_iter().for_each(|sent| drop(sent.wait().unwrap()));
        outer.join().unwrap();
    });
    let order = order.lock().unwrap().clone();
    assert_eq!(order.len(), MANY + 1);
    order
}

#[test]
fn a_call_in_the_ring_has_its_turn_beside_many_in_the_queue() {
    let orders = (0..6).map(|nth| run_few_beside_many(Duration::from_millis(20 << nth)));
    let places = orders.map(|order| order.iter().position(|gate| *gate == "few"));
    let mut places = places.inspect(|place| println!("its place: {place:?}"));
    assert!(places.any(|place| place.unwrap() <= 20), "it came last");
}

/// A circle is found where a chain comes back to its first plugin on another thread, while that plugin's dispatcher
/// sleeps inside the first handler.
#[test]
fn a_circle_is_told_of_where_a_dispatcher_waits_at_the_beginning_of_a_chain() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let [far, other] = ["far", "other"].map(|name| connect(&broker, name, WaitPolicy::Park));
    let [host, caller] = ["host", "caller"].map(|name| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.wait_policy(WaitPolicy::Park).connect().unwrap()
    });
    let ((told, telling), (plain_holds, plain_entered, plain_goes)) = (channel(), hold());
    let (other_holds, other_entered, other_goes) = hold();
    // Handlers that wait, and then make a call that is reported to the broker.
    let calling = |holds: Box<dyn Fn() + Send + Sync>, gate: Subscriber<(), ()>| {
        let told = told.clone();
        move || {
            holds();
            let outcome = gate.invoke(());
            told.send(outcome.err().map(|error| error.code())).unwrap();
        }
    };
    // Such a gate may be called while its plugin's dispatcher waits.
    let reentrant = GateOptions::new().reentrant(true);
    host.set_gate_options("Host.Top", reentrant).unwrap();
    let _quick = (
        far.provide("Far.Quick", || {}).unwrap(),
        other.provide("Other.Quick", || {}).unwrap(),
        host.provide("Host.Top", || {}).unwrap(),
    );
    let top: Subscriber<(), ()> = open(&caller, "Host.Top");
    top.invoke(()).unwrap();
    let plain = calling(Box::new(plain_holds), open(&host, "Other.Quick"));
    let _plain = host.provide("Host.Plain", plain).unwrap();
    let holds = calling(Box::new(other_holds), open(&other, "Far.Quick"));
    let _holds = other.provide("Other.Holds", holds).unwrap();
    let plain: Subscriber<(), ()> = open(&far, "Host.Plain");
    let back = move || plain.with_timeout(2 * PATIENCE).invoke(()).unwrap();
    let _back = far.provide("Far.Back", back).unwrap();
    let back: Subscriber<(), ()> = open(&host, "Far.Back");
    let outer = move || back.with_timeout(2 * PATIENCE).invoke(()).unwrap();
    let _outer = host.provide("Host.Outer", outer).unwrap();
    // A sent call goes to the dispatcher; a call that is waited for runs on its caller's thread.
    let send = |gate: &str| {
        let gate = dynamic::open(&caller, gate, &signature_of::<(), ()>()).unwrap();
        gate.wait_ready(PATIENCE).unwrap();
        let gate = gate.with_timeout(3 * PATIENCE);
        gate.send(&dynamic::encode(&()).unwrap()).unwrap()
    };
    let sent = [send("Host.Outer"), send("Other.Holds")];
    for entered in [plain_entered, other_entered] {
        entered.recv_timeout(PATIENCE).unwrap();
    }
    for goes in [plain_goes, other_goes] {
        goes.send(()).unwrap();
    }
    let told = [(); 2].map(|()| telling.recv_timeout(2 * PATIENCE).unwrap());
    assert!(told.contains(&Some(Code::Deadlock)), "{told:?}");
    sent.into_iter().for_each(|sent| drop(sent.wait().unwrap()));
}

/// A handler whose thread never sleeps waited to its deadline for a call of its own chain that came over a new link.
#[test]
fn a_handler_that_never_sleeps_sees_a_link_that_comes_meanwhile() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let host = connect(&broker, "host", WaitPolicy::Spin);
    let far = connect(&broker, "far", WaitPolicy::Park);
    let other = Arc::new(connect(&broker, "other", WaitPolicy::Park));
    let _leaf = host.provide("Host.Leaf", || 7_u32).unwrap();
    let own = Arc::downgrade(&other);
    let back = move || {
        // The broker is told of the wait below meanwhile, and it goes on.
        thread::sleep(Duration::from_millis(300));
        let own = own.upgrade().unwrap();
        open::<u32>(&own, "Host.Leaf").invoke(()).unwrap()
    };
    let _back = other.provide("Other.Back", back).unwrap();
    let back: Subscriber<(), u32> = open(&far, "Other.Back");
    let _pass = far.provide("Far.Pass", move || back.invoke(()).unwrap());
    let pass: Subscriber<(), u32> = open(&host, "Far.Pass");
    let _ask = host.provide("Host.Ask", move || pass.invoke(()).unwrap());
    let caller = connect(&broker, "caller", WaitPolicy::Park);
    let ask: Subscriber<(), u32> = open(&caller, "Host.Ask");
    let begun = Instant::now();
    assert_eq!(ask.invoke(()).unwrap(), 7);
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}
