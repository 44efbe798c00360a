//! Service calls by a child.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callgate_client::dynamic::{Responder, Takes, provide_prefix};
use callgate_client::{Code, Error, HandlerError, Plugin, Provider};
use serde_json::{Value, json};

use super::{Child, Scene, Traits};
use crate::bridge::Limits;

/// A host that provides gates for children, and delays some answers until the test releases them.
struct Host {
    plugin: Plugin,
    held: Arc<Mutex<Vec<(Responder, String)>>>,
    _provided: Provider,
}

impl Host {
    fn new(scene: &Scene) -> Host {
        let plugin = scene.plugin("host");
        let held = Arc::<Mutex<Vec<_>>>::default();
        let holds = held.clone();
        let takes = Takes::json_later(move |context, arguments, responder| {
            match context.gate().trim_start_matches("host.") {
                "echo" => drop(responder.reply(arguments.as_bytes())),
                "who" => drop(responder.reply_value(&json!(context.caller().name()))),
                "fail" => {
                    let error = HandlerError::new("NO_ROW", "there is none");
                    drop(responder.fail(error.with_context(json!({ "row": 3 }))));
                }
                "refuse" => drop(responder.refuse(Error::new(Code::Overloaded, "too much"))),
                "long" => drop(responder.reply_value(&json!("x".repeat(5 << 20)))),
                _ => holds
                    .lock()
                    .unwrap()
                    .push((responder, arguments.to_owned())),
            }
        });
        let provided = provide_prefix(&plugin, "host.", takes).unwrap();
        Host {
            plugin,
            held,
            _provided: provided,
        }
    }

    fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }
}

/// The answer that a child gets to a service call.
fn call(child: &Child, frame: &Value) -> Value {
    child.says(frame);
    let answer = child.hears();
    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("response"), &frame["id"])
    );
    answer
}

/// All fields but type and id make up the one argument, as the child wrote them.
#[test]
fn a_frame_calls_the_gate_of_its_name() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let child = scene.child("notes");
    for n in 0..3 {
        let frame = json!({
            "type": "host.echo",
            "id": format!("c{n}"),
            "key": "a",
            "n": { "__bin": "AAE=" },
        });
        let answer = call(&child, &frame);
        let arguments = json!([{ "key": "a", "n": { "__bin": "AAE=" } }]);
        assert_eq!(answer["result"], arguments);
        assert!(answer.get("error").is_none());
    }
    let answer = call(&child, &json!({ "type": "host.who", "id": "w" }));
    assert_eq!(answer["result"], "notes");
}

#[test]
fn a_handler_s_error_keeps_its_code_and_context() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let child = scene.child("notes");
    let answer = call(&child, &json!({ "type": "host.fail", "id": "1" }));
    let context = json!({ "row": 3, "callgate_code": "HANDLER_ERROR" });
    let error = json!({ "code": "NO_ROW", "message": "there is none", "context": context });
    assert_eq!(answer["error"], error);
    let answer = call(&child, &json!({ "type": "host.refuse", "id": "2" }));
    let error = json!({ "code": "OVERLOADED", "message": "too much" });
    assert_eq!(answer["error"], error);
}

/// At first no plugin provides the gate, and then one does.
#[test]
fn a_gate_that_nobody_provides_is_not_ready_until_somebody_does() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let frame = |id: &str| json!({ "type": "host.echo", "id": id });
    let answer = call(&child, &frame("1"));
    assert_eq!(answer["error"]["code"], "NOT_READY");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("host.echo"), "{message}");
    let host = Host::new(&scene);
    assert!(call(&child, &frame("2"))["error"].is_null());
    drop(host);
    assert_eq!(call(&child, &frame("3"))["error"]["code"], "NOT_READY");
    let _host = Host::new(&scene);
    assert!(call(&child, &frame("4"))["error"].is_null());
}

#[test]
fn what_is_not_declared_is_denied_and_nothing_runs() {
    let scene = Scene::new();
    let host = Host::new(&scene);
    let traits = Traits {
        capabilities: &["gate.call:host.echo"],
        ..Traits::default()
    };
    let mut child = scene.child_with("notes", traits);
    child.reads();
    let answer = call(&child, &json!({ "type": "host.hold", "id": "1" }));
    assert_eq!(answer["error"]["code"], "PERMISSION_DENIED");
    let context = json!({ "capability": "gate.call:host.hold" });
    assert_eq!(answer["error"]["context"], context);
    // A failure of a frame without an id is counted, and not answered.
    child.says(&json!({ "type": "data.kv", "method": "get" }));
    child.hears_nothing();
    assert_eq!(child.bridge.counts().failed_unheard.get(), 1);
    assert_eq!(host.held(), 0);
}

/// Frames that arrive while the gate is being opened, and frames that arrive later.
#[test]
fn calls_of_one_gate_arrive_in_the_order_of_their_frames() {
    let scene = Scene::new();
    let host = Host::new(&scene);
    let child = scene.child("notes");
    for n in 0..30 {
        child.says(&json!({ "type": "host.hold", "id": n.to_string(), "n": n }));
    }
    super::await_that("all have come", || host.held() == 30);
    let held = std::mem::take(&mut *host.held.lock().unwrap());
    for (n, (responder, arguments)) in held.into_iter().enumerate() {
        assert_eq!(arguments, json!([{ "n": n }]).to_string());
        responder.reply_value(&json!(n)).unwrap();
    }
    for _ in 0..30 {
        let answer = child.hears();
        assert_eq!(answer["id"], answer["result"].to_string());
    }
}

#[test]
fn an_id_that_is_open_and_the_sixty_fifth_call_are_refused() {
    let scene = Scene::new();
    let host = Host::new(&scene);
    let child = scene.child("notes");
    let hold = |id: String| json!({ "type": "host.hold", "id": id });
    (0..64).for_each(|n| child.says(&hold(n.to_string())));
    let refused = |id: &str, code: &str| {
        let answer = call(&child, &hold(id.to_owned()));
        assert_eq!(answer["error"]["code"], code);
    };
    refused("7", "DUPLICATE_ID");
    refused("64", "OVERLOADED");
    super::await_that("those that find a slot have come", || host.held() >= 32);
    let mut answered = 0;
    while answered < 64 {
        let held = host.held.lock().unwrap().pop();
        match held {
            None => std::thread::yield_now(),
            Some((responder, _)) => {
                responder.reply_value(&json!(true)).unwrap();
                answered += 1;
            }
        }
    }
    (0..64).for_each(|_| assert_eq!(child.hears()["result"], true));
    // Both the id and a place among the 64 calls under way are free again.
    child.says(&hold("7".to_owned()));
    super::await_that("it has come", || host.held() == 1);
}

#[test]
fn an_answer_that_never_comes_is_a_timeout() {
    let scene = Scene::new();
    let host = Host::new(&scene);
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
    child.reads();
    let answer = call(&child, &json!({ "type": "host.hold", "id": "1" }));
    assert_eq!(answer["error"]["code"], "TIMEOUT");
    drop(host.plugin);
}

/// A result larger than the limit for frames would have ended the child.
#[test]
fn a_result_that_fits_no_frame_is_an_error() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let child = scene.child("notes");
    let answer = call(&child, &json!({ "type": "host.long", "id": "1" }));
    assert_eq!(answer["error"]["code"], "RESPONSE_TOO_LARGE");
    let answer = call(&child, &json!({ "type": "host.echo", "id": "2" }));
    assert_eq!(answer["result"], json!([{}]));
}

/// A child that makes calls and does not read: its answers wait, and its frames are not read meanwhile.
#[test]
fn answers_that_are_not_read_wait_and_none_is_lost() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let quota = 256 << 10;
    let mut child = scene.child_with(
        "notes",
        Traits {
            quota,
            ..Traits::default()
        },
    );
    let text = "x".repeat(60_000);
    for n in 0..20 {
        child.says(&json!({ "type": "host.echo", "id": n.to_string(), "text": text }));
    }
    super::await_that("it is busy", || child.bridge.is_busy());
    child.reads();
    let mut ids: Vec<u32> = (0..20)
        .map(|_| {
            let answer = child.hears();
            assert_eq!(answer["result"][0]["text"], *text);
            answer["id"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    assert!(!child.bridge.is_busy());
}

/// More gates than the bridge keeps open.
#[test]
fn gates_that_were_not_used_for_long_are_closed_and_opened_again() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let traits = Traits {
        capabilities: &["gate.call:host.*", "gate.call:none.*"],
        ..Traits::default()
    };
    let mut child = scene.child_with("notes", traits);
    child.reads();
    for n in (0..100).chain(0..3) {
        let answer = call(&child, &json!({ "type": format!("none.g{n}"), "id": "1" }));
        assert_eq!(answer["error"]["code"], "NOT_READY", "{answer}");
        let answer = call(&child, &json!({ "type": "host.echo", "id": "1" }));
        assert_eq!(answer["result"], json!([{}]));
    }
}

/// A frame of one child arrives as a request at another one.
#[test]
fn children_call_each_other() {
    let scene = Scene::new();
    let served = scene.child("served");
    let traits = Traits {
        capabilities: &["gate.call:served.*"],
        ..Traits::default()
    };
    let mut calls = scene.child_with("calls", traits);
    calls.reads();
    calls.says(&json!({ "type": "served.get", "id": "1", "key": "a" }));
    let request = served.hears();
    assert_eq!(request["params"], json!({ "key": "a" }));
    assert_eq!(request["user"]["id"], "calls");
    let error = json!({ "code": "NO_KEY", "message": "no", "context": { "key": "a" } });
    served.says(&json!({ "type": "response", "id": request["id"], "error": error }));
    let answer = calls.hears();
    let context = json!({ "key": "a", "callgate_code": "HANDLER_ERROR" });
    let error = json!({ "code": "NO_KEY", "message": "no", "context": context });
    assert_eq!(answer["error"], error);
}

/// A child that called for large results and read none of them made its host keep all of them.
#[test]
fn results_that_are_not_read_have_an_end() {
    let scene = Scene::new();
    let _host = Host::new(&scene);
    let mut child = scene.child_with(
        "notes",
        Traits {
            quota: 64 << 10,
            ..Traits::default()
        },
    );
    let text = "x".repeat(3 << 20);
    for id in 0..10 {
        child.says(&json!({ "type": "host.echo", "id": id.to_string(), "text": text }));
    }
    super::await_that("all are answered", || {
        child.bridge.own.lock().services.under_way() == 0
    });
    child.reads();
    let answers: Vec<Value> = (0..10).map(|_| child.hears()).collect();
    let refused = answers
        .iter()
        .filter(|answer| answer["error"]["code"] == "OVERLOADED");
    let results = answers.iter().filter(|answer| answer["result"].is_array());
    // One result is in the queue, and two wait.
    assert_eq!((results.count(), refused.count()), (3, 7));
}
