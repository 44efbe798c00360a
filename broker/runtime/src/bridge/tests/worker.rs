//! The tasks that bridges give to the worker.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::json;

use super::{Child, PATIENCE, Scene, Traits};
use crate::bridge::Limits;

/// Blocks the worker until the test sends something.
pub(super) fn keep_worker(child: &Child) -> Sender<()> {
    let (go, begun) = bounded(0);
    let wait = move || {
        let _ = begun.recv();
    };
    child.work.send(Box::new(wait)).unwrap();
    go
}

/// A child that opened many gates, or subscribed to many topics, blocked the worker for other plugins until all of that was done.
#[test]
fn what_one_child_has_for_the_worker_lets_others_in_between() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let go = keep_worker(&child);
    for n in 0..20 {
        let topic = format!("news.t{n}");
        child.says(&json!({ "type": "events.subscribe", "id": n.to_string(), "topic": topic }));
        child.says(&json!({ "type": format!("host.g{n}"), "id": format!("g{n}") }));
    }
    let (tell, told) = bounded(1);
    let bridge = child.bridge.clone();
    let others = move || tell.send(bridge.shared.session.waiting()).unwrap();
    child.work.send(Box::new(others)).unwrap();
    go.send(()).unwrap();
    // One task was done before it.
    assert_eq!(told.recv_timeout(PATIENCE), Ok(39));
    (0..40).for_each(|_| drop(child.hears()));
    assert_eq!(child.bridge.shared.session.waiting(), 0);
}

/// A call that waited for its gate to be opened had no deadline.
#[test]
fn a_call_whose_gate_is_not_opened_in_time_is_a_timeout() {
    let scene = Scene::new();
    let limits = Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut child = scene.child_with(
        "notes",
        Traits {
            limits,
            ..Traits::default()
        },
    );
    child.reads();
    let go = keep_worker(&child);
    for id in ["1", "2"] {
        child.says(&json!({ "type": "host.echo", "id": id }));
        let answer = child.hears();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(id), &json!("TIMEOUT"))
        );
    }
    go.send(()).unwrap();
    child.says(&json!({ "type": "host.echo", "id": "3" }));
    assert_eq!(child.hears()["error"]["code"], "NOT_READY");
}
