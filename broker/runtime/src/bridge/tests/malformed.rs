//! Frames that cannot be read.

use callgate_client::Code;
use serde_json::{Value, json};

use super::{Child, Scene, open};
use crate::frame::parse;

fn says_wrongly(child: &Child, frame: &Value) {
    let text = frame.to_string();
    let malformed = parse(text.as_bytes()).unwrap_err();
    child.bridge.on_malformed(&malformed);
}

/// The caller whose answer was malformed waited until its deadline.
#[test]
fn a_malformed_answer_ends_its_request() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let sent = gate.send_values(&[]).unwrap();
    let request = child.hears();
    let frame = json!({ "type": "response", "id": request["id"], "error": "no object" });
    says_wrongly(&child, &frame);
    let error = sent.wait().unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    assert!(
        error.may_have_run() && error.message().contains("`error`"),
        "{error}"
    );
    says_wrongly(&child, &frame);
    assert_eq!(child.bridge.counts().stray_responses.get(), 1);
}

#[test]
fn a_child_is_told_what_is_wrong_with_its_frame_where_it_has_an_id() {
    let scene = Scene::new();
    let child = scene.child("notes");
    for kind in ["events.publish", "events.subscribe", "events.unsubscribe"] {
        says_wrongly(&child, &json!({ "type": kind, "id": "1", "topic": 7 }));
        let ack = child.hears();
        assert_eq!(
            (&ack["type"], &ack["id"]),
            (&json!("event.ack"), &json!("1"))
        );
        assert_eq!(
            (&ack["ok"], &ack["error"]["code"]),
            (&json!(false), &json!("PROTOCOL"))
        );
        assert!(
            ack["error"]["message"]
                .as_str()
                .unwrap()
                .contains("`topic`"),
            "{ack}"
        );
    }
    says_wrongly(&child, &json!({ "type": "events.publish", "topic": 7 }));
    says_wrongly(
        &child,
        &json!({ "type": "event.deliver.error", "id": "1", "error": 7 }),
    );
    child.hears_nothing();
}
