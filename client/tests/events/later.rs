//! Events that tasks wait for, and events across brokers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, EventNotice, Plugin, Received, TopicOptions};

use super::scene::{Notes, PATIENCE, Scene, TOPIC, numbers};

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let until = Instant::now() + PATIENCE;
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(Instant::now() < until, "nobody wakes the task");
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn a_task_is_woken_for_events() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = numbers(&sender);
    let mut events = listener.events::<(u32,)>(TOPIC).unwrap();
    let here = block_on(events.next_async()).unwrap();
    assert!(matches!(here, Received::Notice(EventNotice::Here { .. })));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..20 {
                thread::sleep(Duration::from_millis(5));
                topic.send(&(n,)).unwrap();
            }
        });
        for n in 0..20 {
            let event = block_on(events.next_async()).unwrap().event().unwrap();
            assert_eq!(event.values, (n,));
        }
    });
}

/// Sender and listener go to another broker, one after the other, while the sender sends: each event is heard once.
#[test]
fn each_event_is_had_once_also_where_the_broker_is_replaced() {
    for listener_first in [true, false] {
        let (scene, next) = (Scene::new(), Scene::new());
        let (sender, listener) = scene.two(Dispatch::Thread);
        // So a listener that gets no processor for a while loses nothing.
        let options = TopicOptions::new().unlimited_budget();
        let options = options.send_timeout(PATIENCE);
        let topic = sender.topic_with::<(u32,)>(TOPIC, options).unwrap();
        let notes = Notes::new();
        let seen = notes.clone();
        let _subscription = listener
            .subscribe(TOPIC, move |n: u32| seen.add(n))
            .unwrap();
        let is_over = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut n = 0;
                while !is_over.load(Ordering::Relaxed) {
                    topic.send(&(n,)).unwrap();
                    n += 1;
                    if n % 100 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                n
            });
            notes.wait(500);
            let mut order = [&sender, &listener];
            if listener_first {
                order.reverse();
            }
            for plugin in order {
                plugin.rejoin(next.broker.connect().unwrap()).unwrap();
                notes.wait(notes.all().len() + 500);
            }
            // Longer than old memberships are used.
            thread::sleep(Duration::from_millis(5500));
            notes.wait(notes.all().len() + 500);
            is_over.store(true, Ordering::Relaxed);
            sending.join().unwrap()
        });
        let all = notes.wait(sent as usize);
        assert!(all.iter().copied().eq(0..sent), "{} of {sent}", all.len());
    }
}

/// Events are taken also while 63 callers sleep on all bells.
#[test]
fn events_are_taken_also_where_callers_sleep_on_all_bells() {
    let scene = Scene::new();
    let sender = scene.connect("Sender", Dispatch::Thread);
    let listener = Plugin::builder("Listener")
        .descriptor(scene.broker.connect().unwrap())
        .direct_calls(false)
        .connect()
        .unwrap();
    let topic = numbers(&sender);
    let mut events = listener.events::<(u32,)>(TOPIC).unwrap();
    assert!(events.next(PATIENCE).unwrap().is_some(), "it is here");
    // Nobody pumps them, and each gate takes at most half of a link's slots.
    let providers: Vec<_> = ["A", "B", "C"]
        .map(|name| {
            let plugin = scene.connect(name, Dispatch::Pump);
            let provider = plugin.provide(&format!("{name}.Wait"), || ()).unwrap();
            (plugin, provider)
        })
        .into();
    let gates: Vec<_> = ["A.Wait", "B.Wait", "C.Wait"]
        .map(|gate| listener.subscriber::<(), ()>(gate).unwrap())
        .into();
    gates
        .iter()
        .for_each(|gate| gate.wait_ready(PATIENCE).unwrap());
    thread::scope(|scope| {
        for number in 0..75 {
            let gate = &gates[number % 3];
            scope.spawn(move || gate.with_timeout(2 * PATIENCE).invoke(()).unwrap_err());
        }
        // They fall asleep within less than a millisecond.
        thread::sleep(Duration::from_millis(500));
        for number in 0..3 {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                topic.send(&(7,)).unwrap();
            });
            let event = events.next(PATIENCE).unwrap().unwrap().event().unwrap();
            assert_eq!((event.number(), event.values), (number, (7,)));
        }
        drop(providers);
    });
}
