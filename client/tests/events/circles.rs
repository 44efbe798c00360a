//! Handlers that wait for listeners, which in turn wait for those handlers.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch, EventNotice, Plugin, Subscriber, TopicOptions};

use super::scene::{Notes, PATIENCE, Scene, TOPIC};

const EVENTS: u32 = 200;

/// A plugin that makes all its calls over links, and none directly.
fn connect(scene: &Scene, name: &str, dispatch: Dispatch) -> Plugin {
    Plugin::builder(name)
        .descriptor(scene.broker.connect().unwrap())
        .direct_calls(false)
        .dispatch(dispatch)
        .connect()
        .unwrap()
}

/// A sender that fills its ring inside a handler, or flushes there, and the gates of its callers.
struct Circle {
    scene: Scene,
    _sender: Plugin,
    listener: Plugin,
}

impl Circle {
    fn new(dispatch: Dispatch) -> Circle {
        let scene = Scene::new();
        let sender = connect(&scene, "Sender", Dispatch::Thread);
        let listener = connect(&scene, "Listener", dispatch);
        let options = TopicOptions::new()
            .capacity(64 << 10)
            .send_timeout(PATIENCE);
        let topic = sender.topic_with::<(u32, String)>(TOPIC, options).unwrap();
        let (topic, text) = (Arc::new(topic), "x".repeat(1000));
        let sends = topic.clone();
        let fill = sender.provide("Sender.Fill", move || {
            (0..EVENTS).for_each(|n| sends.send(&(n, text.clone())).unwrap());
        });
        let flush = sender.provide("Sender.Flush", move || {
            topic.send(&(0, String::new())).unwrap();
            match topic.flush(PATIENCE) {
                Ok(()) => "OK".to_owned(),
                Err(error) => error.to_string(),
            }
        });
        let ask = sender.provide("Sender.Ask", || ());
        for provider in [fill, flush, ask] {
            std::mem::forget(provider.unwrap());
        }
        Circle {
            scene,
            _sender: sender,
            listener,
        }
    }

    /// Opens a gate of the sender for a plugin.
    fn gate(&self, by: &Plugin, name: &str) -> Subscriber<(), ()> {
        let gate = by.subscriber(name).unwrap().with_timeout(2 * PATIENCE);
        gate.wait_ready(PATIENCE).unwrap();
        gate
    }

    /// The result of a flush inside a handler.
    fn flush(&self, by: &Plugin) -> String {
        let flush = by.subscriber::<(), String>("Sender.Flush").unwrap();
        flush.wait_ready(PATIENCE).unwrap();
        flush.with_timeout(2 * PATIENCE).invoke(()).unwrap()
    }

    /// Makes the listener call the sender for each event; returns the outcomes, and how many events were lost.
    fn asks(
        &self,
    ) -> (
        callgate_client::Subscription,
        Notes<Option<Code>>,
        Notes<u64>,
    ) {
        let (notes, lost) = (Notes::new(), Notes::new());
        let (seen, told) = (notes.clone(), lost.clone());
        let ask = self.gate(&self.listener, "Sender.Ask");
        let subscription = self
            .listener
            .subscription(TOPIC)
            .on_notice(move |notice| {
                if let EventNotice::Lost { count, .. } = notice {
                    told.add(*count);
                }
            })
            .subscribe(move |_: u32, _: String| {
                seen.add(ask.invoke(()).err().map(|error| error.code()));
            })
            .unwrap();
        (subscription, notes, lost)
    }
}

/// A handler that sends does not wait for a listener that waits for that handler: neither for the listener's budget
/// of a second with each send, nor until the end of a flush.
#[test]
fn who_sends_inside_a_handler_does_not_wait_for_who_waits_for_it() {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let circle = Circle::new(Dispatch::Thread);
        let (subscription, notes, lost) = circle.asks();
        let main = circle.scene.connect("Main", Dispatch::Thread);
        let fill = circle.gate(&main, "Sender.Fill");
        let begun = Instant::now();
        fill.invoke(()).unwrap();
        fastest = fastest.min(begun.elapsed());
        lost.wait(1);
        let heard = || notes.all().len() as u64 + subscription.lost();
        let until = Instant::now() + PATIENCE;
        while heard() < u64::from(EVENTS) {
            assert!(Instant::now() < until, "{}", heard());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(
            notes.all().iter().all(Option::is_none),
            "no call has failed"
        );
    }
    assert!(fastest < Duration::from_millis(800), "{fastest:?}");
}

#[test]
fn a_flush_inside_a_handler_is_told_of_who_waits_for_it() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(1)] {
        let circle = Circle::new(dispatch);
        let (_subscription, notes, _) = circle.asks();
        let main = circle.scene.connect("Main", Dispatch::Thread);
        let error = circle.flush(&main);
        assert!(error.starts_with("DEADLOCK"), "{error}");
        for name in ["`Sender`", "`Listener`", TOPIC] {
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(notes.wait(1), [None]);
    }
}

/// The turn that the listener needs is two calls away, and is held by another chain or by the same one.
#[test]
fn a_listener_whose_call_is_handled_is_found_to_wait() {
    let circle = Circle::new(Dispatch::Thread);
    let notes = Notes::new();
    let seen = notes.clone();
    let _subscription = circle
        .listener
        .subscribe(TOPIC, move |n: u32, _: String| seen.add(n))
        .unwrap();
    let flush = circle.listener.subscriber::<(), String>("Sender.Flush");
    let flush = flush.unwrap().with_timeout(2 * PATIENCE);
    flush.wait_ready(PATIENCE).unwrap();
    let _go = circle
        .listener
        .provide("Listener.Go", move || flush.invoke(()).unwrap())
        .unwrap();
    let main = circle.scene.connect("Main", Dispatch::Thread);
    let go = main.subscriber::<(), String>("Listener.Go").unwrap();
    let error = go.with_timeout(2 * PATIENCE).invoke(()).unwrap();
    assert!(error.starts_with("DEADLOCK"), "{error}");
    notes.wait(1);
}

/// A call of the listener waits for the sender's turn, and the listener can still handle events.
fn flushes_beside_a_call(dispatch: Dispatch, subscribe: impl FnOnce(&Circle, Notes<()>)) {
    let circle = Circle::new(dispatch);
    let ask = circle.gate(&circle.listener, "Sender.Ask");
    let _busy = circle
        .listener
        .provide("Listener.Busy", move || ask.invoke(()).unwrap())
        .unwrap();
    let begun = Notes::new();
    subscribe(&circle, begun.clone());
    let main = circle.scene.connect("Main", Dispatch::Thread);
    let busy = circle.gate(&main, "Listener.Busy");
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait(1);
            busy.invoke(()).unwrap();
        });
        assert_eq!(circle.flush(&main), "OK");
    });
}

const SLOW: Duration = Duration::from_millis(300);

#[test]
fn a_pool_with_a_free_thread_is_waited_for() {
    flushes_beside_a_call(Dispatch::Pool(2), |circle, begun| {
        let subscription = circle.listener.subscribe(TOPIC, move |_: u32, _: String| {
            begun.add(());
            thread::sleep(SLOW);
        });
        std::mem::forget(subscription.unwrap());
    });
}

#[test]
fn a_thread_of_the_listeners_own_is_waited_for() {
    flushes_beside_a_call(Dispatch::Thread, |circle, begun| {
        let mut events = circle.listener.events::<(u32, String)>(TOPIC).unwrap();
        thread::spawn(move || {
            assert!(events.next(PATIENCE).unwrap().is_some(), "it is here");
            thread::sleep(SLOW);
            begun.add(());
            thread::sleep(SLOW);
            assert!(events.next(PATIENCE).unwrap().is_some());
            thread::sleep(SLOW);
        });
    });
}
