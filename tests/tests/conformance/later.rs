//! Answers that come later, from threads that run no handlers.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use callgate_client::dynamic::{self, Gate};
use callgate_client::{CancelToken, Code, action_signature_of};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::{await_that, pattern};
use callgate_tests::suite::later::{bytes, number, pass_on, plus_one};

use crate::setup::{Mode, Setup};

/// A gate of bytes of the suite's provider, ready to be called.
pub(crate) fn later(setup: &Setup) -> Gate {
    open(setup, "S.Later", &bytes())
}

pub(crate) fn open(setup: &Setup, gate: &str, signature: &dynamic::Signature) -> Gate {
    let gate = dynamic::open(&setup.caller, gate, signature).unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    gate.with_timeout(PATIENCE)
}

/// Waits until the provider holds so many answers, and for so many of them no caller waits any more.
pub(crate) fn await_held(setup: &Setup, held: u64, given_up: u64) {
    let count = setup.open::<(), (u64, u64)>("S.Held");
    await_that("the answers are held back", || {
        count.invoke(()).unwrap() == (held, given_up)
    });
}

/// Makes the provider answer all calls that it holds.
pub(crate) fn release(setup: &Setup) {
    setup.open::<(), ()>("S.Release").invoke(()).unwrap();
}

/// An answer that another thread gives arrives whole, for the right call.
pub(crate) fn results_failures_and_large_payloads_come_later(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    for length in [0, 1, 111, 112, 113, 5_000, 70_000, 300_000, 3 << 20] {
        for what in [b'e', b'n'] {
            let mut request = pattern(length as u64, length);
            if let Some(first) = request.first_mut() {
                *first = what;
            }
            assert!(*later.call(&request).unwrap() == request, "{length}");
            let sent = later.send(&request).unwrap();
            assert!(*sent.wait().unwrap() == request, "{length}");
        }
    }
    let failed = |what: &[u8]| {
        let outcomes = [
            later.call(what),
            later.send(what).and_then(|sent| sent.wait()),
        ];
        outcomes.map(|outcome| {
            let error = outcome.expect_err("it fails");
            assert!(error.may_have_run());
            assert_eq!(error.gate(), Some("S.Later"));
            error
        })
    };
    for error in failed(b"f") {
        assert_eq!(error.code(), Code::HandlerError);
        let context = error.context().unwrap();
        assert_eq!(context["handler_code"], "NO_SUCH_SLOT");
        assert_eq!(context["highest"], 7);
    }
    for error in failed(b"d") {
        assert_eq!(error.context().unwrap()["handler_code"], "NOT_ANSWERED");
    }
    for error in failed(b"p") {
        assert_eq!(error.code(), Code::HandlerPanicked);
    }
    assert_eq!(*later.call(b"and after that").unwrap(), *b"and after that");
}

/// A bridge can pass on an error of the system behind it. The caller gets that error, and not a failure of the
/// bridge's own handler, so it can react to it.
pub(crate) fn a_responder_passes_on_an_error_of_the_library(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    let failed = |what: &[u8]| {
        let outcomes = [
            later.call(what),
            later.send(what).and_then(|sent| sent.wait()),
        ];
        outcomes.map(|outcome| outcome.expect_err("it is refused"))
    };
    for error in failed(b"r") {
        assert_eq!(error.code(), Code::NotReady);
        assert_eq!(error.message(), "the other side is not ready");
        assert!(error.context().is_none() && !error.may_have_run());
    }
    for error in failed(b"g") {
        assert_eq!(error.code(), Code::ProviderGone);
        assert_eq!(error.context().unwrap()["signal"], 9);
        assert!(error.may_have_run());
        assert_eq!(error.gate(), Some("S.Later"));
    }
    assert_eq!(*later.call(b"and after that").unwrap(), *b"and after that");
}

/// A caller in the provider's process also waits for an answer that comes later: when the handler has returned there
/// is none yet.
pub(crate) fn a_caller_with_types_does_not_see_when_the_answer_was_made(mode: Mode) {
    let setup = Setup::new(mode);
    let next = setup.open::<(u32,), u32>("S.LaterNext");
    thread::scope(|scope| {
        for thread in 0..4 {
            let next = &next;
            scope.spawn(move || {
                for n in 0..50 {
                    let n = 1_000 * thread + n;
                    assert_eq!(next.invoke((n,)).unwrap(), n + 1);
                    assert_eq!(next.invoke_ref(&(n,)).unwrap(), n + 1);
                }
            });
        }
    });
}

/// While calls wait for late answers, the plugin serves other calls.
pub(crate) fn calls_that_wait_for_their_answers_hold_no_turn(mode: Mode) {
    const HELD: u64 = 30;
    let setup = Setup::new(mode);
    let later = later(&setup);
    let sent: Vec<_> = (0..HELD).map(|_| later.send(b"h").unwrap()).collect();
    await_held(&setup, HELD, 0);
    let add = setup.open::<(u64, u64), u64>("S.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    assert_eq!(*later.call(b"another").unwrap(), *b"another");
    release(&setup);
    for sent in sent {
        assert_eq!(*sent.wait().unwrap(), *b"released");
    }
}

/// If the caller has given up, an answer from another thread still frees the slot.
pub(crate) fn a_responder_sees_that_nobody_waits_and_its_answer_gives_the_slot_back(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    for round in 0..5 {
        let sent: Vec<_> = (0..20).map(|_| later.send(b"h").unwrap()).collect();
        await_held(&setup, 20, 0);
        drop(sent);
        let token = CancelToken::new();
        thread::scope(|scope| {
            let call = scope.spawn(|| later.with_cancel(&token).call(b"h").unwrap_err());
            await_held(&setup, 21, 20);
            token.cancel();
            let error = call.join().unwrap();
            assert_eq!(error.code(), Code::Cancelled, "{error} in round {round}");
        });
        await_held(&setup, 21, 21);
        release(&setup);
    }
    // More calls than a gate would have slots if any were missing.
    let sent: Vec<_> = (0..32).map(|_| later.send(b"h").unwrap()).collect();
    await_held(&setup, 32, 0);
    release(&setup);
    for sent in sent {
        assert_eq!(*sent.wait().unwrap(), *b"released");
    }
}

/// When a provider is closed or killed, the calls whose answers it still owed end at once, not at their deadlines.
pub(crate) fn a_provider_s_end_ends_calls_whose_answers_it_held(mode: Mode) {
    for in_order in [false, true] {
        let setup = Setup::new(mode);
        let later = later(&setup);
        let typed = setup.open::<(u32,), u32>("S.LaterNext");
        assert_eq!(typed.invoke((1,)).unwrap(), 2);
        let sent: Vec<_> = (0..10).map(|_| later.send(b"h").unwrap()).collect();
        thread::scope(|scope| {
            let waiting = [(); 4].map(|()| scope.spawn(|| later.call(b"h")));
            await_held(&setup, 14, 0);
            match in_order {
                true => setup.end_in_order(),
                false => setup.end(),
            }
            let waited = waiting.map(|call| call.join().unwrap()).into_iter();
            for outcome in waited.chain(sent.into_iter().map(|sent| sent.wait())) {
                let error = outcome.unwrap_err();
                assert_eq!(error.code(), Code::ProviderGone, "{error}");
                assert!(error.may_have_run(), "{error}");
            }
        });
        let error = later.send(b"h").unwrap().wait().unwrap_err();
        assert_eq!(error.code(), Code::NotReady, "{error}");
    }
}

/// A handler may make another call, or send one, before it answers: the answer of that call leads to its own.
pub(crate) fn a_handler_may_call_and_send_before_it_answers(mode: Mode) {
    let setup = Setup::vacant(mode);
    let _next = setup.caller.provide("T.Next", |n: u32| n + 1).unwrap();
    let after = dynamic::open(&setup.caller, "S.LaterNext", &number()).unwrap();
    let after = after.with_timeout(PATIENCE);
    let back = move |_: callgate_client::Context<'_>, request: &[u8], responder| {
        pass_on(&after, request, responder);
    };
    let _later = dynamic::provide_later(&setup.caller, "T.Later", &number(), back).unwrap();
    setup.begin();
    // `S.LaterCalls` and `T.Next` add one each; `S.LaterSends`, `T.Later` and `S.LaterNext` add one each.
    for (gate, more) in [("S.LaterCalls", 2), ("S.LaterSends", 3)] {
        let gate = open(&setup, gate, &number());
        await_that("both ways are open", || gate.call(&[0; 4]).is_ok());
        let sent: Vec<_> = (0..40_u32)
            .map(|n| gate.send(&n.to_le_bytes()).unwrap())
            .collect();
        for (n, sent) in (0_u32..).zip(sent) {
            let next = sent.wait().unwrap();
            assert_eq!(*next, (n + more).to_le_bytes());
            assert_eq!(*gate.call(&n.to_le_bytes()).unwrap(), *next);
        }
    }
}

/// A plugin may send to itself. If it pumps, it serves that call when it pumps again.
pub(crate) fn a_plugin_may_send_to_itself(mode: Mode) {
    let setup = Setup::new(mode);
    let own = open(&setup, "S.LaterSelf", &number());
    await_that("it has opened its own gate", || own.call(&[0; 4]).is_ok());
    let sent: Vec<_> = (0..40_u32)
        .map(|n| own.send(&n.to_le_bytes()).unwrap())
        .collect();
    for (n, sent) in (0_u32..).zip(sent) {
        assert_eq!(*sent.wait().unwrap(), (n + 2).to_le_bytes());
    }
}

/// An action may be answered later: its answer has no bytes and still has to be sent.
pub(crate) fn an_action_may_be_done_later(mode: Mode) {
    let setup = Setup::new(mode);
    let action = action_signature_of::<(u32,)>();
    let (came, coming) = mpsc::channel();
    let came = Mutex::new(came);
    // The other way round: here it is answered later, and there by a handler.
    let _later = dynamic::provide_later(&setup.caller, "T.Do", &action, move |_, request, todo| {
        came.lock()
            .unwrap()
            .send((plus_one(request), todo))
            .unwrap();
    });
    let own = dynamic::open(&setup.caller, "T.Do", &action).unwrap();
    let sent = own.send(&7_u32.to_le_bytes()).unwrap();
    let (number, responder) = coming.recv_timeout(PATIENCE).unwrap();
    assert_eq!(number, 8_u32.to_le_bytes());
    responder.reply(b"not looked at").unwrap();
    assert!(sent.wait().unwrap().is_empty());
    let both = open(&setup, "S.Both", &action_signature_of::<(u64,)>());
    let runs = setup.open::<(), u64>("S.Runs");
    let before = runs.invoke(()).unwrap();
    assert!(
        both.send(&5_u64.to_le_bytes())
            .unwrap()
            .wait()
            .unwrap()
            .is_empty()
    );
    assert!(both.call(&6_u64.to_le_bytes()).unwrap().is_empty());
    assert_eq!(runs.invoke(()).unwrap(), before + 11);
}
