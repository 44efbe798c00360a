//! Calls to a child.

use std::thread;
use std::time::Duration;

use callgate_client::Code;
use crossbeam_channel::bounded;
use serde_json::{Value, json};

use super::{Child, PATIENCE, Scene, Traits, await_that, open};
use crate::bridge::{Asker, LastWords, Limits, Request};
use crate::frame::User;

/// The path of a call: the child gets a request with the caller's name, answers it, and the caller gets the result.
#[test]
fn a_call_is_a_request_and_its_answer_the_result() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.list");
    let sent = gate.send_values(&[json!({ "from": 3 })]).unwrap();
    let request = child.hears();
    assert_eq!(request["type"], "request");
    assert_eq!(request["action"], "list");
    assert_eq!(request["params"], json!({ "from": 3 }));
    let user = json!({
        "id": "caller",
        "displayName": "The other",
        "avatarUrl": null,
        "role": "plugin",
    });
    assert_eq!(request["user"], user);
    assert!(request.get("session_id").is_none());
    child.answers(&request, &json!({ "rows": [1, 2] }));
    assert_eq!(sent.wait_value().unwrap(), json!({ "rows": [1, 2] }));
    assert_eq!(gate.owner().as_deref(), Some("notes"));
}

#[test]
fn whatever_is_no_single_object_comes_as_args() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.add");
    for (arguments, params) in [
        (vec![], json!({})),
        (vec![json!(1), json!("two")], json!({ "args": [1, "two"] })),
        (vec![json!([1])], json!({ "args": [[1]] })),
        (
            vec![json!({ "a": "\u{2028}\0" })],
            json!({ "a": "\u{2028}\0" }),
        ),
    ] {
        let sent = gate.send_values(&arguments).unwrap();
        let request = child.hears();
        assert_eq!(request["params"], params);
        child.answers(&request, &Value::Null);
        assert_eq!(sent.wait_value().unwrap(), Value::Null);
    }
}

/// Calls to one child ran one after the other, because the handler waited for each answer.
#[test]
fn answers_come_in_whatever_order_the_child_gives_them() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let sent: Vec<_> = (0..20)
        .map(|n| gate.send_values(&[json!({ "n": n })]).unwrap())
        .collect();
    let requests: Vec<_> = sent.iter().map(|_| child.hears()).collect();
    for request in requests.iter().rev() {
        child.answers(request, &request["params"]["n"]);
    }
    for (n, sent) in sent.into_iter().enumerate() {
        assert_eq!(sent.wait_value().unwrap(), json!(n));
    }
    assert_eq!(child.bridge.calls().open(), 0);
}

#[test]
fn a_child_s_error_is_a_handler_s() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let sent = gate.send_values(&[]).unwrap();
    let request = child.hears();
    let error = json!({ "code": "NO_NOTE", "message": "there is none", "context": { "id": 7 } });
    child.says(&json!({ "type": "response", "id": request["id"], "error": error }));
    let error = sent.wait().unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    assert_eq!(error.message(), "there is none");
    let context = json!({ "handler_code": "NO_NOTE", "id": 7 });
    assert_eq!(error.context(), Some(&context));
    assert!(error.may_have_run());
}

/// Answers to no open request of this child are dropped and counted, and no other caller gets them.
#[test]
fn another_id_a_second_answer_and_another_child_s_touch_nobody() {
    let scene = Scene::new();
    let (child, other) = (scene.child("notes"), scene.child("other"));
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let sent = gate.send_values(&[]).unwrap();
    let request = child.hears();
    other.answers(&request, &json!("forged"));
    let unknown = json!({ "id": "00000000-0000-4000-8000-000000000000" });
    child.answers(&unknown, &json!("forged"));
    child.answers(&json!({ "id": "0" }), &json!("forged"));
    child.answers(&request, &json!("true"));
    child.answers(&request, &json!("late"));
    assert_eq!(sent.wait_value().unwrap(), json!("true"));
    let strays = |child: &Child| child.bridge.counts().stray_responses.get();
    assert_eq!((strays(&child), strays(&other)), (3, 1));
}

#[test]
fn a_child_that_does_not_answer_in_time_is_a_timeout_and_its_answer_a_stray() {
    let scene = Scene::new();
    let limits = Limits {
        request: Duration::from_millis(30),
        ..Limits::default()
    };
    let mut child = scene.child_with(
        "notes",
        Traits {
            limits,
            ..Traits::default()
        },
    );
    child.bridge.offer().unwrap();
    child.reads();
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let error = gate.call_values(&[]).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.may_have_run());
    assert!(error.message().contains("notes"), "{error}");
    assert_eq!(child.bridge.calls().open(), 0);
    child.answers(&child.hears(), &json!(1));
    assert_eq!(child.bridge.counts().stray_responses.get(), 1);
}

/// The slot of a call that its caller had given up stayed in use until the child answered.
#[test]
fn a_request_for_which_nobody_waits_is_let_go() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    // Its deadline comes later than this test has patience.
    let gate = gate.with_timeout(10 * PATIENCE);
    let sent: Vec<_> = (0..20).map(|_| gate.send_values(&[]).unwrap()).collect();
    sent.iter().for_each(|_| drop(child.hears()));
    drop(sent);
    await_that("nothing is open", || child.bridge.calls().open() == 0);
}

#[test]
fn a_child_that_is_not_ready_or_stops_is_not_ready() {
    let scene = Scene::new();
    let mut child = scene.child_with("notes", Traits::default());
    child.reads();
    let caller = scene.plugin("caller");
    let gate = callgate_client::dynamic::open_json(&caller, "notes.get").unwrap();
    assert_eq!(gate.call_values(&[]).unwrap_err().code(), Code::NotReady);
    assert_eq!(ask(&child, "get").unwrap_err().code(), Code::NotReady);
    child.bridge.offer().unwrap();
    let sent = gate.send_values(&[]).unwrap();
    child.answers(&child.hears(), &json!(1));
    assert_eq!(sent.wait_value().unwrap(), json!(1));
    child.bridge.stops();
    assert_eq!(gate.call_values(&[]).unwrap_err().code(), Code::NotReady);
    child.hears_nothing();
}

/// A child that never reads: its callers get an error at once, and no queue grows without bound.
#[test]
fn a_child_that_does_not_read_is_overloaded_and_goes_on_when_it_does() {
    let scene = Scene::new();
    let quota = 1 << 20;
    let mut child = scene.child_with(
        "notes",
        Traits {
            quota,
            ..Traits::default()
        },
    );
    child.bridge.offer().unwrap();
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let long = json!({ "text": "x".repeat(100_000) });
    let mut sent = Vec::new();
    let refused = loop {
        let mut call = gate.send_values(std::slice::from_ref(&long)).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let is_written = || child.bridge.counts().requests.get() > sent.len() as u64;
        let outcome = loop {
            match std::pin::Pin::new(&mut call).poll(&mut context) {
                std::task::Poll::Ready(outcome) => break Some(outcome),
                std::task::Poll::Pending if is_written() => break None,
                std::task::Poll::Pending => thread::yield_now(),
            }
        };
        match outcome {
            Some(outcome) => break outcome.unwrap_err(),
            None => sent.push(call),
        }
    };
    assert_eq!(refused.code(), Code::Overloaded);
    assert!(!refused.may_have_run() && child.stdin.queued() <= quota);
    child.reads();
    for call in sent {
        let request = child.hears();
        child.answers(&request, &json!(1));
        assert_eq!(call.wait_value().unwrap(), json!(1));
    }
}

#[test]
fn a_request_that_fits_no_frame_is_refused() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let error = gate.call_values(&[json!("x".repeat(4 << 20))]).unwrap_err();
    assert_eq!(error.code(), Code::RequestTooLarge);
    assert_eq!(child.bridge.calls().open(), 0);
    let fits = gate.send_values(&[json!("x".repeat(4_000_000))]).unwrap();
    let request = child.hears();
    child.answers(&request, &request["params"]["args"][0]);
    assert_eq!(fits.wait().unwrap().len(), 4_000_002);
}

/// Makes a request as a host does, in a user's name.
fn ask(child: &Child, action: &str) -> Result<Value, callgate_client::Error> {
    let (sender, answer) = bounded(1);
    let params = serde_json::value::to_raw_value(&json!({ "n": 1 })).unwrap();
    let request = Request {
        action,
        params: params.get(),
        user: User {
            id: "u1",
            display_name: "Ada",
            avatar_url: Some("http://x/y.png"),
            role: "admin",
        },
        session_id: Some("s-9"),
        timeout: PATIENCE,
    };
    let answered = move |outcome: Result<&serde_json::value::RawValue, _>| {
        let value = outcome.map(|result| serde_json::from_str(result.get()).unwrap());
        let _ = sender.send(value);
    };
    child
        .bridge
        .calls()
        .request(&request, Asker::Host(Box::new(answered)));
    if let Ok(refused) = answer.try_recv() {
        return refused;
    }
    let request = child.hears();
    assert_eq!(request["user"]["displayName"], "Ada");
    assert_eq!(request["user"]["avatarUrl"], "http://x/y.png");
    assert_eq!(request["session_id"], "s-9");
    child.answers(&request, &request["params"]);
    answer.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_host_may_call_on_behalf_of_a_user() {
    let scene = Scene::new();
    let child = scene.child("notes");
    assert_eq!(ask(&child, "get").unwrap(), json!({ "n": 1 }));
    child.ends(LastWords {
        message: "killed".to_owned(),
        context: json!({ "signal": 9 }),
    });
    let error = ask(&child, "get").unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone);
    assert_eq!(error.context(), Some(&json!({ "signal": 9 })));
}

/// Requests that are written together: none is lost or written twice, whichever of them finds the pipe full.
#[test]
fn many_calls_at_once_are_all_written() {
    let scene = Scene::new();
    let mut child = scene.child_with("notes", Traits::default());
    child.bridge.offer().unwrap();
    let caller = scene.plugin("caller");
    let (get, list) = (open(&caller, "notes.get"), open(&caller, "notes.list"));
    let params = |n: usize| json!({ "n": n, "text": "x".repeat(n % 7 * 3000) });
    let sent: Vec<_> = (0..200)
        .map(|n| {
            let gate = if n % 2 == 0 { &get } else { &list };
            gate.send_values(&[params(n)]).unwrap()
        })
        .collect();
    // The pipe is read late, so that both the pipe and the queue are in use.
    thread::sleep(Duration::from_millis(100));
    child.reads();
    for _ in &sent {
        let request = child.hears();
        child.answers(&request, &request["params"]);
    }
    for (n, sent) in sent.into_iter().enumerate() {
        assert_eq!(sent.wait_value().unwrap(), params(n));
    }
    assert_eq!(child.bridge.calls().open(), 0);
    child.hears_nothing();
}
