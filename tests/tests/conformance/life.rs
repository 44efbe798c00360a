//! Plugins that start, end and move.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, GateEvent, HandlerError, Result, Watch};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::await_that;

use crate::setup::{Mode, Setup};

/// A handler may close its own plugin, which does not wait for that handler.
///
/// In a pump, the plugin closes when the pump returns, because the pump holds it until then.
pub(crate) fn a_handler_may_close_its_own_plugin(mode: Mode) {
    let setup = Setup::new(mode);
    let close = setup.open::<(), ()>("S.Close");
    // The handler ran. Whether its answer arrives before the link ends is open.
    if let Err(error) = close.invoke(()) {
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
    }
    expect_end(&setup);
    assert_eq!(close.invoke(()).unwrap_err().code(), Code::NotReady);
}

/// A handler may close its plugin while another handler further down the stack waits for it: that one can still
/// finish.
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
    // The chain began in the closed plugin. It may show any of these errors, but it must end.
    if let Err(error) = outer.invoke(()) {
        let known = [Code::ProviderGone, Code::HandlerError];
        assert!(known.contains(&error.code()), "{error}");
    }
    expect_end(&setup);
}

/// A host that pumps calls a gate between two frames. The gate calls back, and that handler closes the host's plugin,
/// which does not wait for itself. In other modes the plugin's main thread waits and another thread closes it.
/// Directly, this is the same as [`a_handler_may_close_its_plugin_under_another_handler`].
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
    // The end of the plugin may overtake the answer of the inner call, and so that of the outer one.
    let known = ["OK", "CLOSED", "HANDLER_ERROR", "PROVIDER_GONE"];
    assert!(known.contains(&&*outcome), "{outcome}");
    expect_end(&setup);
}

/// Waits until the plugin is gone, checks that its process lives, and ends the process.
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

/// A watch sees each life of a gate, also one that ends and begins between two looks.
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

/// A plugin that starts first can wait for a gate, and need not open it again.
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

/// When a gate moves into the caller's process or out of it, its subscribers call the new provider.
///
/// In direct mode the same is seen from the other side: in every mode the gate moves there.
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
            // This comes before the assertion that it happened, so that the threads end in any case.
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
