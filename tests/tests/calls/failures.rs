//! Handlers that fail, and plugins that close.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, Process, proc, programs};

use crate::support::{Barrier, Opens, SHORT};

/// A failing handler's error reaches the caller with its code, and the plugin lives on.
#[test]
fn a_failing_handler_says_why_and_lives() {
    let bus = Bus::start(programs!());
    // The panic hook would only print messages that hide those of the test.
    let mut command = bus.peer_command("provider", "P", &[]);
    command.stderr(Stdio::null());
    let mut provider = Process::spawn(command);
    assert_eq!(provider.expect_line(), "ready");
    let caller = bus.plugin("Caller");
    let fail = open::<(String,), u32>(&caller, "P.Fail");
    let panics = open::<(String,), u32>(&caller, "P.Panic");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    // The second message does not fit a cell. The third is cut short.
    for text in ["no row".to_owned(), "long ".repeat(600), "x".repeat(65_400)] {
        let error = fail.invoke((text.clone(),)).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::HandlerError, Some("P.Fail"))
        );
        let (shown, mark) = match error.message().split_once(" … (cut: ") {
            Some((shown, mark)) => (shown, Some(mark)),
            None => (error.message(), None),
        };
        assert!(text.starts_with(shown), "{error}");
        // The text says how much is missing, so that a cut text is not taken for a whole one.
        let missing = text.len() - shown.len();
        let expected = (missing > 0).then(|| format!("{missing} bytes more)"));
        assert_eq!(mark, expected.as_deref());
        assert!(shown.len() >= text.len().min(4050) && error.message().len() <= 4096);
        let context = error.context().expect("a context");
        assert_eq!(
            (&context["handler_code"], &context["row"]),
            (&"NO_SUCH_ROW".into(), &7.into())
        );
        assert!(error.may_have_run());

        let text = &text[..text.len().min(4500)];
        let error = panics.invoke((text.to_owned(),)).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::HandlerPanicked, Some("P.Panic"))
        );
        assert!(
            error.message().contains(&text[..text.len().min(4000)]),
            "{error}"
        );
        assert!(error.may_have_run());
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    }
}

/// When a plugin closes in order, the calls that it has not answered end. Its gates are withdrawn at once, not only
/// when its last handler has ended: nobody can call them any more.
#[test]
fn a_plugin_that_is_dropped_answers_what_is_left() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let held_gate = barrier.provide(&provider, "P.Held");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let count_gate = provider
        .provide("P.Count", move || counted.fetch_add(1, Ordering::SeqCst))
        .unwrap();
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let count = open::<(), u64>(&caller, "P.Count");
    let back = open::<(u64, u64), u64>;
    let _far = bus.peer("provider", "Far", &[]);
    let out = back(&provider, "Far.Add");
    assert_eq!(out.invoke((1, 2)).unwrap(), 3);
    thread::scope(|scope| {
        let opens = Opens(&barrier);
        // Which threads have begun their calls. After that they only sleep in them.
        let (begun, begins) = mpsc::channel();
        let expect_asleep = |what: &str, threads: usize| {
            let threads: Vec<u32> = (0..threads)
                .map(|_| begins.recv_timeout(PATIENCE).expect("it begins"))
                .collect();
            await_that(what, || threads.iter().copied().all(proc::is_asleep));
        };
        let holding = scope.spawn(|| held.invoke((vec![1],)));
        barrier.wait_for(1);
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let (begun, count) = (begun.clone(), &count);
                scope.spawn(move || {
                    begun.send(proc::thread_number()).expect("somebody hears");
                    count.invoke(())
                })
            })
            .collect();
        expect_asleep("all calls wait for their answers", 8);
        // Its providers are dropped with it; a call whose handler runs is finished.
        held_gate.keep();
        count_gate.keep();
        let dropping = scope.spawn(move || {
            begun.send(proc::thread_number()).expect("somebody hears");
            drop(provider);
        });
        // After the gates are withdrawn the plugin sleeps only until the handler has ended.
        await_that("the gates are gone", || {
            !count.has_function() && !held.has_function()
        });
        expect_asleep("the plugin waits for its handler", 1);
        drop(opens);
        dropping.join().unwrap();
        assert_eq!(holding.join().unwrap().unwrap(), [1]);
        for call in waiting {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
            assert!(!error.may_have_run(), "{error}");
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert!(!count.has_function() && !held.has_function());
    assert_eq!(code(count.invoke(())), Code::NotReady);

    // Gates that the dropped plugin had opened are closed.
    let error = out.invoke((1, 2)).unwrap_err();
    assert_eq!(error.code(), Code::Closed, "{error}");
    assert!(!error.may_have_run());
    assert_eq!(code(out.wait_ready(SHORT)), Code::Closed);
}

/// Calls that a dispatcher took while a handler waited for an answer are answered when the plugin closes: their
/// callers learn that they did not run.
#[test]
fn a_queued_call_is_answered_when_its_plugin_is_dropped() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let (far, caller) = (bus.plugin("Far"), bus.plugin("Caller"));
    let barrier = Barrier::new();
    let _held = barrier.provide(&far, "F.Held");
    let held = open::<(Vec<u8>,), Vec<u8>>(&provider, "F.Held");
    let through = move || held.invoke((vec![7],)).is_ok();
    provider.provide("P.Through", through).unwrap().keep();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let count = move || counted.fetch_add(1, Ordering::SeqCst);
    provider.provide("P.Count", count).unwrap().keep();
    let through = open::<(), bool>(&caller, "P.Through");
    let count = open::<(), u64>(&caller, "P.Count");
    thread::scope(|scope| {
        let opens = Opens(&barrier);
        let outer = scope.spawn(|| through.invoke(()));
        barrier.wait_for(1);
        let (begun, begins) = mpsc::channel();
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let (begun, count) = (begun.clone(), &count);
                scope.spawn(move || {
                    begun.send(proc::thread_number()).expect("somebody hears");
                    count.invoke(())
                })
            })
            .collect();
        let expect_asleep = |what: &str, threads: usize| {
            let threads: Vec<u32> = (0..threads)
                .map(|_| begins.recv_timeout(PATIENCE).expect("it begins"))
                .collect();
            await_that(what, || threads.iter().copied().all(proc::is_asleep));
        };
        expect_asleep("all calls wait for their answers", 4);
        let dropping = scope.spawn(move || {
            begun.send(proc::thread_number()).expect("somebody hears");
            drop(provider);
        });
        await_that("the gates are gone", || {
            !count.has_function() && !through.has_function()
        });
        expect_asleep("the plugin waits for its dispatcher", 1);
        // The calls have woken the handler's thread, and it has looked at them.
        thread::sleep(SHORT);
        drop(opens);
        dropping.join().unwrap();
        assert!(outer.join().unwrap().unwrap());
        for call in waiting {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
            assert!(!error.may_have_run(), "{error}");
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

/// A plugin that is closed while one of its own threads waits for an answer ends that wait.
#[test]
fn a_plugin_that_is_dropped_ends_its_own_calls() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..70)
            .map(|_| scope.spawn(|| held.invoke((vec![1],))))
            .collect();
        barrier.wait_for(1);
        drop(caller);
        for call in waiting {
            assert_eq!(code(call.join().unwrap()), Code::Closed);
        }
        barrier.open();
    });
    // The provider still serves other callers.
    let other = bus.plugin("Other");
    let held = open::<(Vec<u8>,), Vec<u8>>(&other, "P.Held");
    assert_eq!(held.invoke((vec![2],)).unwrap(), [2]);
}
