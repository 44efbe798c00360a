//! Plugins that close while calls are under way.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Gate, Sent};
use callgate_client::{Code, Dispatch, HandlerError, Plugin, signature_of};

use crate::scene::{Job, PATIENCE, block_on, deferring, scene};

/// Lengths of answers: inline, in the payload blocks and in extents.
const LENGTHS: [usize; 3] = [8, 5_000, 200_000];

fn send_some(gate: &Gate) -> Vec<Sent> {
    (0..60_u8).map(|n| gate.send(&[n]).unwrap()).collect()
}

fn answer_some(jobs: &Receiver<Job>) {
    let mut n = 0;
    while let Ok((request, responder)) = jobs.recv_timeout(Duration::from_millis(20)) {
        n += 1;
        let mut answer = request;
        answer.resize(LENGTHS[n % 3], 1);
        // The plugin may have closed.
        match n % 7 {
            0 => drop(responder),
            1 => drop(responder.fail(HandlerError::new("NO", "no"))),
            _ => drop(responder.reply(&answer)),
        }
    }
}

/// Checks that each call is answered or told that a plugin has gone, and that none waits for its deadline.
fn expect_outcomes(sent: Vec<Sent>, gone: Code) {
    for (n, sent) in sent.into_iter().enumerate() {
        let outcome = match n % 2 {
            0 => sent.wait(),
            _ => block_on(sent),
        };
        match outcome {
            Ok(bytes) => assert_eq!(bytes[0], n as u8),
            Err(error) => {
                let known = [gone, Code::HandlerError];
                assert!(known.contains(&error.code()), "{error}");
            }
        }
    }
}

/// When a provider closes while other threads answer, each call gets an outcome from one of them.
#[test]
fn a_provider_may_close_while_its_responders_answer() {
    for round in 0..60_u64 {
        let dispatch = [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump];
        let dispatch = dispatch[round as usize % 3];
        let scene = scene(dispatch);
        let (_provider, gate, jobs) = deferring(&scene);
        let gate = gate.with_timeout(2 * PATIENCE);
        let sent = send_some(&gate);
        let answering = thread::spawn(move || answer_some(&jobs));
        if dispatch == Dispatch::Pump {
            let until = Instant::now() + Duration::from_millis(2);
            scene.provider.pump(until).unwrap();
        }
        thread::sleep(Duration::from_micros(37 * round));
        drop(scene.provider);
        expect_outcomes(sent, Code::ProviderGone);
        answering.join().unwrap();
    }
}

#[test]
fn a_caller_may_close_while_its_calls_are_answered() {
    for round in 0..60_u64 {
        let mut scene = scene(Dispatch::Thread);
        let (_provider, gate, jobs) = deferring(&scene);
        let gate = gate.with_timeout(2 * PATIENCE);
        let sent = send_some(&gate);
        let answering = thread::spawn(move || answer_some(&jobs));
        thread::sleep(Duration::from_micros(37 * round));
        let others = thread::spawn({
            let gate = gate.clone();
            move || {
                // The others go on sending until they are told.
                while let Ok(sent) = gate.send(b"x") {
                    drop(sent);
                }
            }
        });
        drop(scene.take_caller());
        expect_outcomes(sent, Code::Closed);
        others.join().unwrap();
        drop(scene);
        answering.join().unwrap();
    }
}

/// A responder that outlives its plugin or its caller does nothing, and does no harm.
#[test]
fn a_responder_outlives_its_plugin_and_its_caller() {
    let mut both = [scene(Dispatch::Thread), scene(Dispatch::Thread)];
    let parts = both.each_ref().map(deferring);
    let mut held = Vec::new();
    for (_, gate, jobs) in &parts {
        let sent = gate.send(b"x").unwrap();
        held.push((sent, jobs.recv_timeout(PATIENCE).unwrap().1));
    }
    drop(both[0].take_caller());
    let [_, other] = both;
    drop(other.provider);
    let until = Instant::now() + PATIENCE;
    for (sent, responder) in held {
        while !responder.is_cancelled() {
            assert!(Instant::now() < until);
            thread::yield_now();
        }
        responder.reply(b"too late").unwrap_err();
        sent.wait().unwrap_err();
    }
}

/// A plugin can send as soon as one of its 63 bells is free, also if callers slept on all of them before: the error
/// does not stay.
#[test]
fn a_plugin_sends_as_soon_as_one_of_its_bells_is_free() {
    let scene = scene(Dispatch::Thread);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let (hold, held) = mpsc::channel();
    let connect = |name: &str| {
        let builder = Plugin::builder(name).descriptor(scene.broker.connect().unwrap());
        builder.connect().unwrap()
    };
    let plugins = ["A", "B"].map(connect);
    let gates: Vec<_> = (0..4)
        .map(|n| {
            let (plugin, hold) = (&plugins[n % 2], hold.clone());
            let name = format!("Bytes.{n}");
            let handler = move |_: callgate_client::Context<'_>, _: &[u8], responder| {
                hold.send(responder).unwrap();
            };
            let provider = dynamic::provide_later(plugin, &name, &signature, handler).unwrap();
            let gate = dynamic::open(scene.caller(), &name, &signature).unwrap();
            (provider, gate.with_timeout(2 * PATIENCE))
        })
        .collect();
    thread::scope(|scope| {
        // Two links with 48 slots each. Each caller sleeps on a bell as long as one is free.
        for n in 0..70 {
            let gate = &gates[n % 4].1;
            scope.spawn(|| gate.call(b"x").unwrap());
        }
        let mut all: Vec<_> = (0..70)
            .map(|_| held.recv_timeout(PATIENCE).unwrap())
            .collect();
        let gate = &gates[0].1;
        // The callers are awake for a moment first. A call that were sent then would get a bell and keep it.
        thread::sleep(Duration::from_millis(100));
        let error = gate.send(b"y").unwrap_err();
        assert_eq!(error.code(), Code::Overloaded, "{error}");
        assert!(!error.may_have_run());
        for responder in all.drain(..) {
            responder.reply(b"").unwrap();
        }
        let until = Instant::now() + PATIENCE;
        let sent = loop {
            match gate.send(b"y") {
                Ok(sent) => break sent,
                Err(error) => assert_eq!(error.code(), Code::Overloaded, "{error}"),
            }
            assert!(Instant::now() < until);
            thread::yield_now();
        };
        held.recv_timeout(PATIENCE).unwrap().reply(b"z").unwrap();
        assert_eq!(*sent.wait().unwrap(), *b"z");
    });
}

/// A handler may poll a call that it has sent: another thread reports the answer.
#[test]
fn a_handler_may_wait_for_what_it_sends() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let outer = move |_: callgate_client::Context<'_>, request: &[u8]| {
        let first = gate.send(request)?;
        let second = gate.send(request)?;
        let back = block_on(second)?;
        assert_eq!(*first.wait()?, *back);
        Ok(back.to_vec())
    };
    let _outer = dynamic::provide(scene.caller(), "Bytes.Outer", &signature, outer).unwrap();
    let outer = dynamic::open(&scene.provider, "Bytes.Outer", &signature).unwrap();
    let answering = thread::spawn(move || {
        for _ in 0..20 {
            let (request, responder) = jobs.recv_timeout(PATIENCE).unwrap();
            responder.reply(&request).unwrap();
        }
    });
    for n in 0..10_u8 {
        assert_eq!(*outer.call(&[n]).unwrap(), [n]);
    }
    answering.join().unwrap();
}
