//! Every call can also be made as JSON, in every mode.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{CancelToken, Code};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::{code, open};
use callgate_tests::types::caller::{Summary, Track, track};

use crate::scene::{MODES, Scene};

fn for_each_mode(test: impl Fn(Scene)) {
    for mode in MODES {
        println!("mode {mode}");
        test(Scene::new(mode));
    }
}

#[test]
fn a_function_takes_and_gives_types_that_differ() {
    for_each_mode(|scene| {
        let sum = scene.open::<(Track,), Summary>("S.Sum");
        assert!(sum.is_converted() && sum.has_function() && !sum.has_action());
        assert_eq!(sum.owner().as_deref(), Some("S"));
        let expected = Summary {
            total: 6,
            loudest: None,
            title: "Ouverture".to_owned(),
        };
        let given = (track(vec![1, 2, 3]),);
        assert_eq!(sum.invoke_ref(&given).unwrap(), expected);
        assert_eq!(sum.invoke(given).unwrap(), expected);
        let own = scene.open::<(u32,), u32>("S.Wide");
        assert!(!own.is_converted(), "these types are the same");
        assert_eq!(own.invoke((7,)).unwrap(), 7);
    });
}

#[test]
fn a_handler_sees_an_archive_of_what_came_as_json() {
    for_each_mode(|scene| {
        let view = scene.open::<(Track, u64), String>("S.View");
        assert!(view.is_converted());
        assert_eq!(view.invoke((track(vec![9; 5]), 3)).unwrap(), "Ouverture 15");
    });
}

#[test]
fn an_action_is_done() {
    for_each_mode(|mut scene| {
        let note = scene.open::<(u8,), ()>("S.Note");
        assert!(note.is_converted());
        note.invoke_action((3,)).unwrap();
        note.invoke_action((4,)).unwrap();
        assert_eq!(scene.notes(), 7);
    });
}

/// A call inside of a call: the chain goes back to the plugin that waits, as JSON in both directions.
#[test]
fn a_chain_of_calls_goes_back_and_forth() {
    for_each_mode(|scene| {
        let back = |n: u64| n * 2;
        let _back = scene.caller.provide("T.Back", back).unwrap();
        let through = scene.open::<(u64,), u64>("S.Through");
        assert_eq!(through.invoke((20,)).unwrap(), 41);
        // A failure further along the chain is reported as usual.
        let error = through.invoke((1 << 20,)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerError);
    });
}

#[test]
fn a_handler_that_panics_or_fails_ends_its_call_alone() {
    for_each_mode(|scene| {
        let panics = scene.open::<(u8,), u64>("S.Panic");
        let error = panics.invoke((3,)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerPanicked);
        assert!(
            error.may_have_run() && error.message().contains("at 3"),
            "{error}"
        );
        let fails = scene.open::<(u8,), u64>("S.Fail");
        let error = fails.invoke((3,)).unwrap_err();
        assert_eq!(error.context().unwrap()["handler_code"], "NO_SUCH_ROW");
        let wide = scene.open::<(u8,), u64>("S.Wide");
        assert_eq!(wide.invoke((3,)).unwrap(), 3);
    });
}

#[test]
fn calls_end_at_their_deadlines_and_by_their_tokens() {
    for mode in ["thread", "pool", "pump", "group"] {
        let scene = Scene::new(mode);
        let waits = scene.open::<(u8,), u64>("S.Wait");
        let start = Instant::now();
        let short = waits.with_timeout(Duration::from_millis(30));
        let error = short.invoke((1,)).unwrap_err();
        assert!(
            error.code() == Code::Timeout && error.may_have_run(),
            "{error}"
        );
        let token = CancelToken::new();
        let cancelled = waits.with_cancel(&token);
        thread::scope(|scope| {
            let call = scope.spawn(|| cancelled.invoke((1,)));
            thread::sleep(Duration::from_millis(30));
            token.cancel();
            assert_eq!(code(call.join().unwrap()), Code::Cancelled);
        });
        assert!(start.elapsed() < PATIENCE);
        let none = waits.with_timeout(Duration::ZERO);
        let error = none.invoke((1,)).unwrap_err();
        assert!(error.code() == Code::Timeout && !error.may_have_run());
    }
}

/// The calls of a gate that arrive as JSON are counted, so that a plugin's author sees that they are converted.
#[test]
fn calls_in_json_are_counted_and_others_are_not() {
    let scene = Scene::new("thread");
    let wide = scene.open::<(u8,), u64>("S.Wide");
    for n in 0..5 {
        wide.invoke((n,)).unwrap();
    }
    let own = scene.open::<(u32,), u32>("S.Wide");
    own.invoke((1,)).unwrap();
    assert_eq!(scene.json_calls("S.Wide"), 5);
    assert_eq!(scene.json_calls("S.Sum"), 0);
}

/// Many threads at once; half of them use the provider's own types.
#[test]
fn callers_of_both_encodings_call_one_gate_side_by_side() {
    for mode in MODES {
        let scene = Scene::new(mode);
        let (json, own) = (
            scene.open::<(u16,), u64>("S.Wide"),
            scene.open::<(u32,), u32>("S.Wide"),
        );
        let other = scene.bus.plugin("U");
        let others = open::<(u64,), u64>(&other, "S.Wide");
        thread::scope(|scope| {
            for thread in 0..3_u16 {
                let (json, own, others) = (json.clone(), own.clone(), others.clone());
                scope.spawn(move || {
                    for n in 0..200_u16 {
                        let n = n + thread * 1000;
                        assert_eq!(json.invoke((n,)).unwrap(), u64::from(n));
                        assert_eq!(own.invoke((n.into(),)).unwrap(), u32::from(n));
                        assert_eq!(others.invoke((n.into(),)).unwrap(), u64::from(n));
                    }
                });
            }
        });
    }
}
