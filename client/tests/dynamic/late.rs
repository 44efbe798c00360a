//! Answers that wait for space, and those for which there is none.

use callgate::BusLimits;
use callgate_client::{Code, Context, Dispatch, WaitPolicy, dynamic, signature_of};

use crate::scene::{GATE, PATIENCE, Scene, deferring, scene_with};

/// A bus without memory for payloads beside the outboxes, whose plugins sleep at once.
fn scarce() -> Scene {
    let limits = BusLimits {
        extent_mib: 0,
        ..BusLimits::default()
    };
    scene_with(Dispatch::Thread, WaitPolicy::Park, limits)
}

/// Nobody told a provider that slept that there was space for the answer that waited for it.
#[test]
fn an_answer_that_waits_for_space_is_published_where_the_provider_sleeps() {
    let scene = scarce();
    let (_provider, gate, jobs) = deferring(&scene);
    let gate = gate.with_timeout(PATIENCE);
    for _ in 0..20 {
        let sent = [1, 2].map(|n: u8| gate.send(&[n]).unwrap());
        let held = [(); 2].map(|()| jobs.recv_timeout(PATIENCE).unwrap());
        for (request, responder) in held {
            // Two of them do not fit the outbox.
            responder.reply(&vec![request[0]; 40_000]).unwrap();
        }
        for (sent, n) in sent.into_iter().zip([1, 2]) {
            assert_eq!(*sent.wait().unwrap(), *vec![n; 40_000]);
        }
    }
}

/// A plugin whose result found no memory was said to have closed.
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
