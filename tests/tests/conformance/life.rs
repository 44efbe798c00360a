//! Plugins that begin, end and move.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, GateEvent, HandlerError, Result, Watch};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::await_that;

use crate::setup::{Mode, Setup};

/// A handler that closed its own plugin waited for itself.
///
/// In a pump, the plugin closes when the pump returns, which holds it until then.
pub(crate) fn a_handler_may_close_its_own_plugin(mode: Mode) {
    let setup = Setup::new(mode);
    let close = setup.open::<(), ()>("S.Close");
    // It ran; whether its answer gets out before the link goes is open.
    if let Err(error) = close.invoke(()) {
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
    }
    expect_end(&setup);
    assert_eq!(close.invoke(()).unwrap_err().code(), Code::NotReady);
}

/// A handler that closed its plugin, while another handler further down the stack waited for it,
/// took that one's ground away.
pub(crate) fn a_handler_may_close_its_plugin_under_another_handler(mode: Mode) {
    let setup = Setup::vacant(mode);
    let close = setup.caller.subscriber::<(), ()>("S.Close").unwrap();
    let held = move || -> std::result::Result<(), HandlerError> {
        close.wait_ready(PATIENCE)?;
        Ok(close.invoke(())?)
    };
    let _held = setup.caller.provide("T.Held", held).unwrap();
    setup.begin();
    let outer = setup.open::<(), ()>("S.Outer");
    // The chain is at home in the closed plugin: any of its ends may show, and none may be lost.
    if let Err(error) = outer.invoke(()) {
        let known = [Code::ProviderGone, Code::HandlerError];
        assert!(known.contains(&error.code()), "{error}");
    }
    expect_end(&setup);
}

/// A frame-driven host called a gate between two frames; the gate called back, and that handler
/// closed the host, which waited for itself. On other modes the plugin's main thread waits and
/// another one closes it. Directly, that is
/// [`a_handler_may_close_its_plugin_under_another_handler`] once more.
pub(crate) fn a_handler_may_close_its_plugin_while_a_thread_of_the_plugin_s_waits(mode: Mode) {
    if mode == Mode::Direct {
        return;
    }
    let setup = Setup::vacant(mode);
    let close = setup.caller.subscriber::<(), ()>("S.Close").unwrap();
    let turn = move || -> std::result::Result<(), HandlerError> {
        close.wait_ready(PATIENCE)?;
        Ok(close.invoke(())?)
    };
    let _turn = setup.caller.provide("T.Turn", turn).unwrap();
    setup.begin();
    let outcome = setup.ask("turn").expect("it is a process");
    // The answer of the inner call, and with it that of the outer one, may be overtaken by the end.
    let known = ["OK", "CLOSED", "HANDLER_ERROR", "PROVIDER_GONE"];
    assert!(known.contains(&&*outcome), "{outcome}");
    expect_end(&setup);
}

/// Waits until the plugin is gone, looks whether its process lives, and lets that end.
fn expect_end(setup: &Setup) {
    setup.await_end();
    assert!(setup.bus.builder("S").connect().is_ok(), "the name is free");
    if let Some(answer) = setup.ask("turn") {
        assert_eq!(answer, "CLOSED", "the process goes on without its plugin");
    }
    setup.end_in_order();
}

fn next(watch: &Watch) -> GateEvent {
    let event: Result<_> = watch.next(PATIENCE);
    event.unwrap().expect("something changed")
}

/// A launcher that missed a gate which went and came back between two looks.
pub(crate) fn a_gate_s_lives_are_seen_with_owner_and_generation(mode: Mode) {
    let setup = Setup::vacant(mode);
    let watch = setup.caller.watch("S.Add").unwrap();
    assert_eq!(next(&watch).owner, None);
    let mut before = 0;
    for is_killed in [true, false] {
        setup.begin();
        let came = next(&watch);
        assert_eq!(came.owner.as_deref(), Some("S"));
        assert!(came.has_function && !came.has_action);
        assert!(came.generation > before, "{came:?} after {before}");
        match is_killed {
            true => setup.end(),
            false => setup.end_in_order(),
        }
        let gone = next(&watch);
        assert!(!gone.is_present());
        assert_eq!(gone.generation, came.generation);
        before = came.generation;
    }
    assert_eq!(watch.next(Duration::from_millis(5)).unwrap(), None);
}

/// A plugin that started first gave up, or had to open the gate again.
pub(crate) fn a_gate_may_be_waited_for_before_there_is_a_provider(mode: Mode) {
    let setup = Setup::vacant(mode);
    let add = setup.caller.subscriber::<(u64, u64), u64>("S.Add").unwrap();
    assert_eq!(add.invoke((1, 2)).unwrap_err().code(), Code::NotReady);
    assert!(!add.has_function() && add.owner().is_none());
    let too_short = add.wait_ready(Duration::from_millis(5)).unwrap_err();
    assert_eq!(too_short.code(), Code::NotReady);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            add.wait_ready(PATIENCE)?;
            add.invoke((1, 2))
        });
        setup.begin();
        assert_eq!(waiting.join().unwrap().unwrap(), 3, "the first call");
    });
    assert!(add.has_function() && add.owner().as_deref() == Some("S"));
}

/// A gate moved into the caller's process, and its subscribers went on calling a provider that was
/// no longer there; or back.
///
/// Directly, it is the same from the other side: that is where the gate moves to in every mode.
pub(crate) fn a_gate_may_move_between_processes_while_it_is_called(mode: Mode) {
    let setup = Setup::vacant(mode);
    let gate = setup.caller.subscriber::<(), u32>("S.Where").unwrap();
    let gate = gate.with_timeout(PATIENCE);
    let (last, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let call = || {
        while !is_over.load(Ordering::Relaxed) {
            match gate.invoke(()) {
                Ok(pid) => last.store(pid, Ordering::Relaxed),
                Err(error) => {
                    let known = [Code::NotReady, Code::ProviderGone];
                    assert!(known.contains(&error.code()), "{error}");
                    thread::sleep(Duration::from_micros(100));
                }
            }
        }
    };
    thread::scope(|scope| {
        let callers = [scope.spawn(call), scope.spawn(call)];
        for n in 0..6 {
            match (n % 2 == 0) == (mode == Mode::Direct) {
                true => setup.begin_here(),
                false => setup.begin_there("suite"),
            }
            let pid = setup.pid();
            let is_there = || last.load(Ordering::Relaxed) == pid;
            // Before the assertion that it came about, so that the threads end in any case.
            let is_lost = || callers.iter().any(|caller| caller.is_finished());
            await_that("it is called where it is now", || is_lost() || is_there());
            if is_lost() {
                break;
            }
            setup.end();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
