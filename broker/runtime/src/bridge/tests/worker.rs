//! What the worker does for bridges.

use crossbeam_channel::bounded;
use serde_json::json;

use super::{PATIENCE, Scene};

/// A child that opened many gates, or subscribed to many topics, kept the worker from other plugins for as long as all of that took.
#[test]
fn what_one_child_has_for_the_worker_lets_others_in_between() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let (go, begun) = bounded::<()>(0);
    child
        .work
        .send(Box::new(move || drop(begun.recv())))
        .unwrap();
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
    // One job was before it.
    assert_eq!(told.recv_timeout(PATIENCE), Ok(39));
    (0..40).for_each(|_| drop(child.hears()));
    assert_eq!(child.bridge.shared.session.waiting(), 0);
}
