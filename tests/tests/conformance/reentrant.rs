//! Re-entrant gates: what runs on top of another chain's wait, and what is refused there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{self, Responder};
use callgate_client::{Provider, signature_of};
use callgate_tests::shorthand::await_that;
use callgate_tests::suite::reentrant::Outcomes;

use crate::setup::{Mode, Setup};

/// Provides `T.Held`. Its calls pass through shared memory in every mode, and the thread that takes their responders
/// answers them.
fn held(setup: &Setup) -> (Provider, Receiver<Responder>) {
    let (came, coming) = mpsc::channel();
    let came = Mutex::new(came);
    let hold = move |_: callgate_client::Context<'_>, _: &[u8], responder: Responder| {
        came.lock().unwrap().send(responder).unwrap();
    };
    let signature = signature_of::<(), ()>();
    let provider = dynamic::provide_later(&setup.caller, "T.Held", &signature, hold);
    (provider.unwrap(), coming)
}

/// Both calls were refused, and each error says whether its call may have run.
fn expect_refused((waited, sent): &Outcomes) {
    let was_not_made = "this call was not made. ";
    assert!(
        waited.starts_with("false DEADLOCK: ") && waited.contains(was_not_made),
        "{waited}"
    );
    let was_sent = "this call was sent before, and is given up now. ";
    assert!(
        sent.starts_with("true DEADLOCK: ") && sent.contains(was_sent),
        "{sent}"
    );
}

/// A re-entrant gate runs on top of a handler that waits. So a plugin can be asked something that must be known
/// before that wait can end.
pub(crate) fn a_re_entrant_gate_runs_on_top_of_another_chain_s_wait(mode: Mode) {
    let setup = Setup::vacant(mode);
    let (_held, coming) = held(&setup);
    let _quick = setup.caller.provide("T.Quick", || {}).unwrap();
    let is_held = Arc::<AtomicBool>::default();
    let held = is_held.clone();
    let sent = move || {
        while held.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let _sent = setup.caller.provide("T.Sent", sent).unwrap();
    setup.begin();
    let outer = setup.open::<(), ()>("S.Outer");
    let peek = setup.open::<(), bool>("S.Peek");
    let call = setup.open::<(), (bool, Outcomes)>("S.PeekAndCall");
    let ok = || ("OK".to_owned(), "OK".to_owned());
    await_that("the other side has the gates, too", || {
        call.invoke(()).unwrap() == (false, ok())
    });
    thread::scope(|scope| {
        let mut waiting = Vec::new();
        // In a pool, the last call takes the last thread.
        for nth in 0..mode.threads() {
            let (outer, coming) = (&outer, &coming);
            let one = scope.spawn(move || outer.invoke(()).unwrap());
            waiting.push((one, coming.recv().unwrap()));
            for _ in 0..20 {
                assert!(peek.invoke(()).unwrap(), "with {nth} of them");
            }
            let is_on_top = nth + 1 == mode.threads();
            // A call that is answered before the handler waits for it is not given up.
            is_held.store(is_on_top, Ordering::SeqCst);
            let (is_busy, outcomes) = call.invoke(()).unwrap();
            assert!(is_busy);
            match is_on_top {
                true => expect_refused(&outcomes),
                // On a free thread.
                false => assert_eq!(outcomes, ok()),
            }
            is_held.store(false, Ordering::SeqCst);
        }
        for (one, responder) in waiting {
            assert!(!one.is_finished());
            responder.reply(&[]).unwrap();
            one.join().unwrap();
        }
    });
    assert!(!peek.invoke(()).unwrap());
    assert_eq!(call.invoke(()).unwrap(), (false, ok()));
}
