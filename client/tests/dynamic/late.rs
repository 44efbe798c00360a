//! Answers that wait for space, and answers for which there is none.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use callgate::BusLimits;
use callgate_client::dynamic::Responder;
use callgate_client::{Code, Context, Dispatch, WaitPolicy, dynamic, signature_of};

use crate::scene::{GATE, PATIENCE, Scene, deferring, scene_with};

/// A bus without memory for payloads beside the outboxes, whose plugins sleep at once.
fn scarce() -> Scene {
    let limits = BusLimits {
        extent_mib: 0,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
        ..BusLimits::default()
    };
    scene_with(Dispatch::Thread, WaitPolicy::Park, limits)
}

/// An answer that waits for space is published when a request of the same plugin gives its space back.
#[test]
fn an_answer_hears_of_space_that_a_request_took() {
    let scene = scarce();
    let (_provider, gate, jobs) = deferring(&scene);
    let (keep, kept) = channel();
    let keep = Mutex::new(keep);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let handler =
        move |_: Context<'_>, _: &[u8], responder| keep.lock().unwrap().send(responder).unwrap();
    let _back = dynamic::provide_later(scene.caller(), "Bytes.Back", &signature, handler).unwrap();
    let back = dynamic::open(&scene.provider, "Bytes.Back", &signature).unwrap();
    back.wait_ready(PATIENCE).unwrap();
    // Two of them do not fit the outbox.
    let large = vec![7; 40_000];
    let asking = back.with_timeout(2 * PATIENCE).send(&large).unwrap();
    let responder: Responder = kept.recv_timeout(PATIENCE).unwrap();
    let sent = gate.with_timeout(PATIENCE).send(b"x").unwrap();
    let job = jobs.recv_timeout(PATIENCE).unwrap();
    job.1.reply(&large).unwrap();
    // In this time the plugin falls asleep.
    thread::sleep(Duration::from_millis(100));
    responder.reply(b"").unwrap();
    assert_eq!(*sent.wait().unwrap(), *large);
    asking.wait().unwrap();
}

/// If there is no memory for a result, its caller is told of the quota, and not that the plugin has closed.
#[test]
fn a_result_for_which_there_is_no_memory_is_the_quota_s_error() {
    let scene = scarce();
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let large = |_: Context<'_>, _: &[u8]| Ok(vec![0; 1 << 20]);
    let _provided = dynamic::provide(&scene.provider, GATE, &signature, large).unwrap();
    let gate = dynamic::open(scene.caller(), GATE, &signature).unwrap();
    let error = gate.with_timeout(PATIENCE).call(b"x").unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(error.may_have_run(), "{error}");
}
