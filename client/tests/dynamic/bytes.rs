//! Sent bytes come back as results or errors, at once or later, until a plugin closes.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Context, Dispatch, HandlerError, dynamic, gate_type, signature_of};

use crate::scene::{GATE, Job, PATIENCE, block_on, deferring, scene};

#[test]
fn bytes_go_there_and_back() {
    let scene = scene(Dispatch::Thread);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let handler = |_: Context<'_>, request: &[u8]| {
        if request == b"fail" {
            return Err(HandlerError::new("FAILED", "as it was told to"));
        }
        Ok(request.iter().rev().copied().collect())
    };
    let _provider = dynamic::provide(&scene.provider, GATE, &signature, handler).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    for len in [0, 1, 100, 112, 113, 5_000, 70_000, 3 << 20] {
        let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let back: Vec<u8> = bytes.iter().rev().copied().collect();
        assert_eq!(*gate.call(&bytes).unwrap(), back, "{len}");
        assert_eq!(*gate.send(&bytes).unwrap().wait().unwrap(), back, "{len}");
        assert_eq!(
            *block_on(gate.send(&bytes).unwrap()).unwrap(),
            back,
            "{len}"
        );
    }
    for error in [gate.call(b"fail"), gate.send(b"fail").unwrap().wait()] {
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::HandlerError);
        assert_eq!(error.gate(), Some(GATE));
        assert_eq!(error.context().unwrap()["handler_code"], "FAILED");
    }
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Track {
    title: String,
    gains: Vec<f32>,
}

fn track() -> Track {
    Track {
        title: "a title that does not lie inside of its archive's root".to_owned(),
        gains: vec![0.5, 2.0],
    }
}

/// A bridge can make the bytes that a typed gate takes, and read those that it returns.
#[test]
fn structs_go_between_types_and_bytes() {
    let scene = scene(Dispatch::Thread);
    let _typed = scene.provider.provide(GATE, |track: Track, by: f32| Track {
        gains: track.gains.iter().map(|gain| gain * by).collect(),
        ..track
    });
    let signature = signature_of::<(Track, f32), Track>();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    let louder = gate
        .call(&dynamic::encode(&(track(), 2.0_f32)).unwrap())
        .unwrap();
    let louder: Track = dynamic::decode(&louder).unwrap();
    assert_eq!(louder.gains, [1.0, 4.0]);
    let handler = |_: Context<'_>, request: &[u8]| {
        let (track, _): (Track, f32) = dynamic::decode(request)?;
        Ok(dynamic::encode(&track)?.to_vec())
    };
    let _bytes = dynamic::provide(&scene.provider, "Bytes.Back", &signature, handler).unwrap();
    let back = scene
        .caller()
        .subscriber::<(Track, f32), Track>("Bytes.Back")
        .unwrap();
    assert_eq!(back.invoke((track(), 1.0)).unwrap(), track());
}

/// An archive is read at any address, because it may be a part of other bytes. Bytes that are no archive of the type
/// are refused.
#[test]
fn an_archive_is_read_wherever_it_lies_and_others_are_refused() {
    let archive = dynamic::encode(&track()).unwrap();
    for at in 0..16 {
        let moved: Vec<u8> = std::iter::repeat_n(0, at)
            .chain(archive.iter().copied())
            .collect();
        assert_eq!(dynamic::decode::<Track>(&moved[at..]).unwrap(), track());
    }
    let error = dynamic::decode::<Track>(&archive[..archive.len() - 1]).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
}

/// Typed and untyped sides can call each other as long as the bytes are archives.
#[test]
fn types_are_a_layer_over_bytes() {
    let scene = scene(Dispatch::Thread);
    let _double = scene.provider.provide(GATE, |n: u32| 2 * n).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature_of::<(u32,), u32>()).unwrap();
    assert_eq!(
        *gate.call(&21_u32.to_le_bytes()).unwrap(),
        42_u32.to_le_bytes()
    );
    let error = gate.call(b"xyz").unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    assert_eq!(
        *gate.call(&4_u32.to_le_bytes()).unwrap(),
        8_u32.to_le_bytes()
    );
}

#[test]
fn an_answer_may_come_later_from_any_thread() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let scene = scene(dispatch);
        let (_provider, gate, jobs) = deferring(&scene);
        for len in [3, 5_000, 3 << 20] {
            let request: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let sent = gate.send(&request).unwrap();
            let (came, responder) = jobs.recv_timeout(PATIENCE).unwrap();
            assert_eq!(came, request);
            assert!(!responder.is_cancelled() && responder.remaining() > Duration::ZERO);
            let back = came.clone();
            thread::spawn(move || responder.reply(&came).unwrap());
            assert_eq!(*sent.wait().unwrap(), back);
        }
    }
}

/// A call that is answered later holds neither its plugin's turn nor a thread.
#[test]
fn calls_that_wait_for_their_answers_do_not_hold_the_turn() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let _other = scene
        .provider
        .provide("Bytes.Other", |n: u32| n + 1)
        .unwrap();
    let other = scene
        .caller()
        .subscriber::<(u32,), u32>("Bytes.Other")
        .unwrap();
    let sent: Vec<_> = (0..30_u8).map(|n| gate.send(&[n]).unwrap()).collect();
    let waiting: Vec<Job> = (0..30)
        .map(|_| jobs.recv_timeout(PATIENCE).unwrap())
        .collect();
    assert_eq!(other.invoke((1,)).unwrap(), 2);
    // Answered in another order than they arrived.
    for (request, responder) in waiting.into_iter().rev() {
        responder.reply(&request).unwrap();
    }
    for (n, sent) in (0..).zip(sent) {
        assert_eq!(*sent.wait().unwrap(), [n]);
    }
}

#[test]
fn a_responder_that_is_dropped_answers_with_an_error() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let sent = gate.send(b"x").unwrap();
    drop(jobs.recv_timeout(PATIENCE).unwrap());
    let error = sent.wait().unwrap_err();
    assert_eq!(error.context().unwrap()["handler_code"], "NOT_ANSWERED");
    let sent = gate.send(b"x").unwrap();
    let (_, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    responder
        .fail(HandlerError::new("NO", "not today"))
        .unwrap();
    assert_eq!(sent.wait().unwrap_err().message(), "not today");
}

#[test]
fn a_sent_call_ends_at_its_deadline_and_its_slot_comes_back() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let short = gate.with_timeout(Duration::from_millis(50));
    let begun = Instant::now();
    let sent: Vec<_> = (0..100_u8).map(|n| short.send(&[n]).unwrap()).collect();
    for sent in sent {
        let error = sent.wait().unwrap_err();
        assert!(
            [Code::Timeout, Code::Overloaded].contains(&error.code()),
            "{error}"
        );
    }
    assert!(begun.elapsed() < PATIENCE / 2);
    for (_, responder) in jobs.try_iter() {
        assert!(responder.is_cancelled());
        responder.reply(b"late").unwrap();
    }
    // More calls than one gate has slots.
    let sent: Vec<_> = (0..200_u8).map(|n| gate.send(&[n]).unwrap()).collect();
    let answering = thread::spawn(move || {
        for _ in 0..200 {
            let (request, responder) = jobs.recv_timeout(PATIENCE).unwrap();
            responder.reply(&request).unwrap();
        }
    });
    for (n, sent) in (0..).zip(sent) {
        assert_eq!(*sent.wait().unwrap(), [n]);
    }
    answering.join().unwrap();
}

#[test]
fn a_call_that_is_dropped_is_given_up() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    drop(gate.send(b"x").unwrap());
    let (_, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    let until = Instant::now() + PATIENCE;
    while !responder.is_cancelled() {
        assert!(Instant::now() < until);
        thread::yield_now();
    }
    responder.reply(b"nobody sees it").unwrap();
    // Many calls at once, sent or waiting, and calls after them succeed.
    let sent: Vec<_> = (0..200_u8).map(|n| gate.send(&[n]).unwrap()).collect();
    drop(sent);
    let answering = thread::spawn(move || {
        while let Ok((request, responder)) = jobs.recv() {
            responder.reply(&request).unwrap();
        }
    });
    assert_eq!(*gate.send(b"last").unwrap().wait().unwrap(), *b"last");
    drop(scene);
    answering.join().unwrap();
}

#[test]
fn closing_ends_what_is_under_way_on_both_sides() {
    let provider_closes = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&provider_closes);
    let sent = gate.send(b"x").unwrap();
    let (_, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    drop(provider_closes.provider);
    let error = sent.wait().unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone, "{error}");
    assert!(error.may_have_run());
    responder.reply(b"too late").unwrap_err();
    let caller_closes = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&caller_closes);
    let sent = gate.send(b"x").unwrap();
    let waiting: Vec<_> = (0..100_u8).map(|n| gate.send(&[n]).unwrap()).collect();
    let (_, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    drop(caller_closes.caller);
    for sent in waiting.into_iter().chain([sent]) {
        let error = sent.wait().unwrap_err();
        assert_eq!(error.code(), Code::Closed, "{error}");
    }
    let until = Instant::now() + PATIENCE;
    while !responder.is_cancelled() {
        assert!(Instant::now() < until);
        thread::yield_now();
    }
}

#[test]
fn an_action_is_sent_and_answered_later_too() {
    let scene = scene(Dispatch::Thread);
    let signature = callgate_client::action_signature_of::<(u32,)>();
    let (sender, jobs) = mpsc::channel();
    let sender = Mutex::new(sender);
    let _provider =
        dynamic::provide_later(&scene.provider, GATE, &signature, move |_, _, responder| {
            sender.lock().unwrap().send(responder).unwrap();
        })
        .unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    let sent = gate.send(&7_u32.to_le_bytes()).unwrap();
    jobs.recv_timeout(PATIENCE)
        .unwrap()
        .reply(b"left out")
        .unwrap();
    assert!(sent.wait().unwrap().is_empty());
    let typed = scene.caller().subscriber::<(u32,), ()>(GATE).unwrap();
    thread::scope(|scope| {
        let typed = scope.spawn(|| typed.invoke_action((3,)));
        jobs.recv_timeout(PATIENCE).unwrap().reply(b"").unwrap();
        typed.join().unwrap().unwrap();
    });
}
