//! Children that come and go while others call them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use callgate_client::dynamic::open_json;
use callgate_client::{Code, Error};
use serde_json::{Value, json};

use super::{Child, PATIENCE, Scene};
use crate::bridge::LastWords;

const CHILDREN: usize = 4;
const LIVES: usize = 40;

fn words(life: usize) -> LastWords {
    LastWords {
        message: format!("life {life} is over"),
        context: json!({ "life": life }),
    }
}

/// Answers the requests except the last one, which stays open.
fn serve(child: &Child, requests: usize) {
    for n in 0..requests {
        let heard = child.heard.as_ref().unwrap();
        let request = heard.recv_timeout(PATIENCE).expect("it is called");
        if n + 1 < requests {
            child.answers(&request, &request["params"]);
        }
    }
}

/// Checks the outcome of a call: the result that the child gave, or one of a few error codes.
fn is_answered(n: u64, outcome: Result<Value, Error>) -> bool {
    match outcome {
        Ok(result) => {
            assert_eq!(result, json!({ "n": n }));
            true
        }
        Err(error) => {
            let codes = [Code::NotReady, Code::ProviderGone];
            assert!(codes.contains(&error.code()), "{error}");
            if error.may_have_run() {
                assert!(
                    error
                        .context()
                        .is_some_and(|context| context["life"].is_u64())
                );
            }
            false
        }
    }
}

/// Each call ends with an answer or with the end of its child, long before its deadline.
#[test]
fn calls_of_children_that_come_and_go_are_all_answered() {
    let scene = Scene::new();
    let caller = scene.plugin("caller");
    let (is_over, answered, failed) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let lives: Vec<_> = (0..CHILDREN)
            .map(|child| {
                let scene = &scene;
                scope.spawn(move || {
                    for life in 0..LIVES {
                        let child = scene.child(&format!("child{child}"));
                        serve(&child, 10 + life % 7);
                        child.ends(words(life));
                    }
                })
            })
            .collect();
        for thread in 0..2 * CHILDREN {
            let gate = format!("child{}.echo", thread % CHILDREN);
            let gate = open_json(&caller, &gate).unwrap().with_timeout(PATIENCE);
            let (is_over, answered, failed) = (&is_over, &answered, &failed);
            scope.spawn(move || {
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let sent = gate.send_values(&[json!({ "n": n })]);
                    let counted = match is_answered(n, sent.and_then(|sent| sent.wait_value())) {
                        true => answered,
                        false => failed,
                    };
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let lives: Vec<_> = lives.into_iter().map(|lives| lives.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(lives.iter().all(Result::is_ok));
    });
    assert!(answered.load(Ordering::Relaxed) >= (CHILDREN * LIVES * 5) as u64);
    assert!(failed.load(Ordering::Relaxed) > 0);
}
