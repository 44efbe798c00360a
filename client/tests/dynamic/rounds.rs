//! Work that handlers leave for the end of their round.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use callgate::Broker;
use callgate_client::dynamic::{self, Gate, Takes, at_end_of_round};
use callgate_client::{
    Arguments, Dispatch, GateOptions, HandlerError, Plugin, Provider, Subscriber, WaitPolicy,
    signature_of,
};

use crate::scene::{GATE, PATIENCE, Scene, await_that, scene};

type Work = Arc<dyn Fn() + Send + Sync>;

/// How many calls were gathered, and in which groups.
#[derive(Clone, Default)]
struct Pieces {
    gathered: Arc<Mutex<Vec<u8>>>,
    written: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Pieces {
    fn work(&self) -> Work {
        let pieces = self.clone();
        Arc::new(move || {
            let gathered = std::mem::take(&mut *pieces.gathered.lock().unwrap());
            if !gathered.is_empty() {
                pieces.written.lock().unwrap().push(gathered);
            }
        })
    }

    fn written(&self) -> Vec<Vec<u8>> {
        self.written.lock().unwrap().clone()
    }
}

/// A gate that gathers the first byte of each request. The handler of request 0 waits for the test.
fn gathering(scene: &Scene, pieces: &Pieces) -> (Provider, Gate, std::sync::mpsc::Sender<()>) {
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    let (pieces, work) = (pieces.clone(), pieces.work());
    let takes = Takes::archives(move |_, request: &[u8]| {
        if request == [0] {
            may_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        pieces.gathered.lock().unwrap().push(request[0]);
        at_end_of_round(&work);
        match request[0] {
            7 => panic!("the handler of 7"),
            8 => Err(HandlerError::new("EIGHT", "refused")),
            _ => Ok(request.to_vec()),
        }
    });
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let provider = dynamic::provide_with(&scene.provider, GATE, &signature, takes).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    (provider, gate.with_timeout(PATIENCE), go)
}

/// Calls that are available together become one group. What is left for the end of a round is done also if a handler
/// panics.
#[test]
fn calls_that_are_at_hand_are_one_piece() {
    let (scene, pieces) = (scene(Dispatch::Thread), Pieces::default());
    let (_provider, gate, go) = gathering(&scene, &pieces);
    let sent: Vec<_> = (0..20).map(|n| gate.send(&[n]).unwrap()).collect();
    go.send(()).unwrap();
    for (n, sent) in (0..).zip(sent) {
        assert_eq!(sent.wait().is_ok(), !matches!(n, 7 | 8), "{n}");
    }
    // The next round comes after the end of that one.
    gate.call(&[20]).unwrap();
    gate.call(&[21]).unwrap();
    let written = pieces.written();
    assert!(written.concat().starts_with(&(0..=20).collect::<Vec<u8>>()));
    assert!(written.len() <= 6, "{written:?}");
}

/// What a single call has left is done soon, without waiting for another call.
#[test]
fn a_lone_call_leaves_nothing_for_long() {
    let (scene, pieces) = (scene(Dispatch::Thread), Pieces::default());
    let (_provider, gate, _go) = gathering(&scene, &pieces);
    gate.call(&[1]).unwrap();
    await_that("it is written", || pieces.written() == [vec![1]]);
}

/// Before a handler waits for its own call, the work that it has left is done: the call may depend on it. This holds
/// for calls that are made and for calls that are sent and waited for.
/// the call, and later still where it sent it.
#[test]
fn what_is_left_is_done_before_its_handler_waits() {
    let scene = scene(Dispatch::Thread);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let (done, is_done) = channel();
    let is_done = Mutex::new(is_done);
    let other = move |_: callgate_client::Context<'_>, _: &[u8]| {
        is_done.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Ok(Vec::new())
    };
    let _other = dynamic::provide(scene.caller(), "Bytes.Other", &signature, other).unwrap();
    let back = dynamic::open(&scene.provider, "Bytes.Other", &signature).unwrap();
    let back = back.with_timeout(PATIENCE);
    let work: Work = Arc::new(move || done.send(()).unwrap());
    let handler = move |_: callgate_client::Context<'_>, request: &[u8]| {
        at_end_of_round(&work);
        match request {
            b"call" => drop(back.call(b"x").unwrap()),
            _ => drop(back.send(b"x").unwrap().wait().unwrap()),
        }
        Ok(Vec::new())
    };
    let _provider = dynamic::provide(&scene.provider, GATE, &signature, handler).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    for request in [&b"call"[..], b"send"] {
        gate.with_timeout(PATIENCE).call(request).unwrap();
    }
}

/// Work that left more work, before a handler waited: that was done after the wait, which may depend on it.
#[test]
fn what_that_work_leaves_is_done_before_its_handler_waits_too() {
    let scene = scene(Dispatch::Thread);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let (done, is_done) = channel();
    let is_done = Mutex::new(is_done);
    let other = move |_: callgate_client::Context<'_>, _: &[u8]| {
        is_done.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Ok(Vec::new())
    };
    let _other = dynamic::provide(scene.caller(), "Bytes.Other", &signature, other).unwrap();
    let back = dynamic::open(&scene.provider, "Bytes.Other", &signature).unwrap();
    let back = back.with_timeout(2 * PATIENCE);
    let second: Work = Arc::new(move || done.send(()).unwrap());
    let first: Work = Arc::new(move || at_end_of_round(&second));
    let handler = move |_: callgate_client::Context<'_>, _: &[u8]| {
        let sent = back.send(b"x").unwrap();
        at_end_of_round(&first);
        sent.wait().unwrap();
        Ok(Vec::new())
    };
    let _provider = dynamic::provide(&scene.provider, GATE, &signature, handler).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    gate.with_timeout(3 * PATIENCE).call(b"x").unwrap();
}

/// Plugins of one process, of which the first one is called directly.
fn neighbours(inner: Dispatch) -> (Broker, [Plugin; 3]) {
    let broker = Broker::builder().without_socket().start().unwrap();
    let connect = |name: &str, dispatch, direct| {
        Plugin::builder(name)
            .descriptor(broker.connect().unwrap())
            .dispatch(dispatch)
            .direct_calls(direct)
            .wait_policy(WaitPolicy::Spin)
            .connect()
            .unwrap()
    };
    let inner = connect("inner", inner, true);
    let outer = connect("outer", Dispatch::Thread, false);
    let caller = connect("caller", Dispatch::Thread, false);
    (broker, [inner, outer, caller])
}

fn subscriber<A: Arguments>(plugin: &Plugin, gate: &str) -> Subscriber<A, ()> {
    let subscriber = plugin.subscriber(gate).unwrap();
    subscriber.wait_ready(PATIENCE).unwrap();
    subscriber.with_timeout(2 * PATIENCE)
}

/// Work that called a plugin of this process, whose handler left work in turn: that waited for the next call.
#[test]
fn what_a_direct_call_of_that_work_leaves_is_done_soon() {
    let (_broker, [inner, outer, caller]) = neighbours(Dispatch::Thread);
    let pieces = Pieces::default();
    let (gathered, left) = (pieces.gathered.clone(), pieces.work());
    let handler = move |number: u8| {
        gathered.lock().unwrap().push(number);
        at_end_of_round(&left);
    };
    let _inner = inner.provide("Inner.Gate", handler).unwrap();
    let direct: Subscriber<(u8,), ()> = subscriber(&outer, "Inner.Gate");
    let work: Work = Arc::new(move || direct.invoke((1,)).unwrap());
    let _outer = outer
        .provide("Outer.Gate", move || at_end_of_round(&work))
        .unwrap();
    let call: Subscriber<(), ()> = subscriber(&caller, "Outer.Gate");
    for calls in 1..5 {
        call.invoke(()).unwrap();
        await_that("it is written", || pieces.written().len() == calls);
    }
}

/// A handler called a gate directly that had as many calls as it may have, and waited while one of them depended on what
/// the handler had left.
#[test]
fn what_is_left_is_done_before_its_handler_waits_for_a_limit() {
    let (_broker, [inner, outer, caller]) = neighbours(Dispatch::Pool(2));
    let limit = GateOptions::new().limit(1);
    inner.set_gate_options("Inner.Gate", limit).unwrap();
    let ((begin, begun), (go, may_go)) = (channel(), channel());
    let (begin, may_go) = (Mutex::new(begin), Mutex::new(may_go));
    let handler = move |is_first: bool| {
        if is_first {
            begin.lock().unwrap().send(()).unwrap();
            may_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    };
    let _inner = inner.provide("Inner.Gate", handler).unwrap();
    let direct: Subscriber<(bool,), ()> = subscriber(&outer, "Inner.Gate");
    let first: Subscriber<(bool,), ()> = subscriber(&caller, "Inner.Gate");
    let work: Work = Arc::new(move || go.send(()).unwrap());
    let handler = move || {
        at_end_of_round(&work);
        direct.invoke((false,)).unwrap();
    };
    let _outer = outer.provide("Outer.Gate", handler).unwrap();
    let call: Subscriber<(), ()> = subscriber(&caller, "Outer.Gate");
    thread::scope(|scope| {
        scope.spawn(|| first.invoke((true,)).unwrap());
        begun.recv_timeout(PATIENCE).unwrap();
        call.invoke(()).unwrap();
    });
}

/// A handler called a gate that was absent, and waited for the next broker with what it had left.
#[test]
fn what_is_left_is_done_before_its_handler_waits_for_a_broker() {
    let scene = scene(Dispatch::Thread);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let absent = dynamic::open(&scene.provider, "Bytes.Absent", &signature).unwrap();
    let (done, is_done) = channel();
    let work: Work = Arc::new(move || done.send(()).unwrap());
    let handler = move |_: callgate_client::Context<'_>, _: &[u8]| {
        at_end_of_round(&work);
        absent.with_timeout(PATIENCE / 2).call(b"x").unwrap_err();
        Ok(Vec::new())
    };
    let _provider = dynamic::provide(&scene.provider, GATE, &signature, handler).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    let gate = gate.with_timeout(PATIENCE);
    gate.wait_ready(PATIENCE).unwrap();
    let Scene {
        broker,
        provider,
        caller,
    } = scene;
    drop(broker);
    let sent = gate.send(b"x").unwrap();
    is_done.recv_timeout(PATIENCE / 4).unwrap();
    sent.wait().unwrap();
    drop((provider, caller));
}

/// On threads without rounds the work is done at once: no later round would do it.
#[test]
fn elsewhere_it_is_done_at_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let work: Work = Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    at_end_of_round(&work);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    for dispatch in [Dispatch::Pool(2), Dispatch::Pump] {
        let scene = scene(dispatch);
        let (work, count) = (work.clone(), count.clone());
        let takes = Takes::archives(move |_, _: &[u8]| {
            let before = count.load(Ordering::Relaxed);
            at_end_of_round(&work);
            Ok(vec![u8::from(count.load(Ordering::Relaxed) > before)])
        });
        let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
        let provider = dynamic::provide_with(&scene.provider, GATE, &signature, takes).unwrap();
        let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
        let sent = gate.with_timeout(PATIENCE).send(b"x").unwrap();
        if dispatch == Dispatch::Pump {
            let until = std::time::Instant::now() + PATIENCE;
            scene.provider.pump(until).unwrap();
        }
        assert_eq!(*sent.wait().unwrap(), [1], "{dispatch:?}");
        drop(provider);
    }
}

/// A panic in that work does not end the thread that serves calls.
#[test]
fn a_panic_in_it_ends_nothing() {
    let scene = scene(Dispatch::Thread);
    let work: Work = Arc::new(|| panic!("in what was left"));
    let takes = Takes::archives(move |_, _: &[u8]| {
        at_end_of_round(&work);
        Ok(Vec::new())
    });
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let _provider = dynamic::provide_with(&scene.provider, GATE, &signature, takes).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    for _ in 0..3 {
        gate.with_timeout(PATIENCE).call(b"x").unwrap();
        thread::yield_now();
    }
}
