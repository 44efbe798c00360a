//! Calls and gates without Rust types: in JSON, in archives whose signature was fetched, and answered later.

use callgate_client::dynamic::{self, Encoding, Gate, Sent};
use callgate_client::{Code, Error, Json, gate_type, signature_of};
use callgate_tests::shorthand::{code, open};
use callgate_tests::untyped::{self, made_signature};
use callgate_tests::{Bus, PATIENCE, Process, programs};
use serde_json::{Value, json};

use crate::scene::{MODES, Scene};

fn json_gate(scene: &Scene, gate: &str) -> Gate {
    let gate = dynamic::open_json(&scene.caller, gate).unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    gate.with_timeout(PATIENCE)
}

fn path(error: &Error) -> &str {
    let context = error.context().expect("a context");
    context["path"].as_str().expect("a path")
}

#[test]
fn who_has_no_types_calls_every_typed_gate() {
    for mode in MODES {
        println!("mode {mode}");
        let mut scene = Scene::new(mode);
        let sum = json_gate(&scene, "S.Sum");
        assert!(sum.has_function() && !sum.has_action());
        assert_eq!(sum.encoding(), Encoding::Json);
        let track = json!({ "title": "Ouverture", "gain": 1, "samples": [1, 2, 3] });
        let summary = json!({ "title": "Ouverture", "total": 6, "count": 3 });
        assert_eq!(
            sum.call_values(std::slice::from_ref(&track)).unwrap(),
            summary
        );
        let sent = sum.send_values(std::slice::from_ref(&track)).unwrap();
        assert_eq!(sent.wait_value().unwrap(), summary);
        let text = sum.call(json!([track]).to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), summary);
        let echo = json_gate(&scene, "S.Echo");
        let many: Vec<u64> = (0..100_000).collect();
        let back = echo.call_values(&[json!(many)]).unwrap();
        assert_eq!(back, json!(many));
        let note = json_gate(&scene, "S.Note").action();
        assert_eq!(note.call_values(&[json!(5)]).unwrap(), Value::Null);
        let sent = note.send(b" [ 6 ] ").unwrap();
        assert!(sent.wait().unwrap().is_empty());
        assert_eq!(scene.notes(), 11);
    }
}

/// A gate tells what it takes and gives, so that a bridge need not guess.
#[test]
fn a_gate_tells_what_it_takes_and_gives() {
    let scene = Scene::new("thread");
    let text = |gate: &Gate| gate.signature().unwrap().to_string();
    assert_eq!(text(&json_gate(&scene, "S.Sum")), "(Track) -> Summary");
    let note = json_gate(&scene, "S.Note").action();
    assert_eq!(text(&note), "(u32)");
    let exact = signature_of::<(u32,), u32>();
    let wide = dynamic::open(&scene.caller, "S.Wide", &exact).unwrap();
    assert_eq!(*wide.signature().unwrap(), exact);
    let absent = dynamic::open_json(&scene.caller, "Nobody.Here").unwrap();
    assert_eq!(code(absent.signature()), Code::NotReady);
    assert_eq!(
        code(dynamic::describe(&scene.caller, "Nobody.Here")),
        Code::NotReady
    );
}

/// A gate that takes only archives tells its signature, too, and can be called with it.
#[test]
fn archives_are_sent_by_a_signature_that_was_asked_for() {
    let scene = Scene::new("thread");
    let json = dynamic::open_json(&scene.caller, "S.Later").unwrap();
    let error = json.call_values(&[json!(1)]).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("takes archives"), "{error}");
    for (gate, given, expected) in [("S.Later", 7_u32, 7_u32), ("S.Wide", 8, 8)] {
        let described = dynamic::describe(&scene.caller, gate).unwrap();
        assert!(described.action.is_none());
        let signature = described.function.unwrap();
        assert_eq!(signature.to_string(), "(u32) -> u32");
        let gate = dynamic::open(&scene.caller, gate, &signature).unwrap();
        let back = gate.call(&given.to_le_bytes()).unwrap();
        assert_eq!(*back, expected.to_le_bytes());
        assert_eq!(code(gate.call_values(&[json!(1)])), Code::InvalidArgument);
        assert_eq!(code(gate.send_values(&[json!(1)])), Code::InvalidArgument);
    }
}

#[test]
fn what_cannot_be_converted_is_told_with_its_path() {
    let scene = Scene::new("thread");
    let sum = json_gate(&scene, "S.Sum");
    let bad = |samples: Value| json!({ "title": "x", "gain": 1, "samples": samples });
    let error = sum.call_values(&[bad(json!([1, 2, -3]))]).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert_eq!(path(&error), "arguments[0].samples[2]");
    assert!(!error.may_have_run());
    let error = sum.call_values(&[Value::Null]).unwrap_err();
    assert_eq!(
        (error.code(), path(&error)),
        (Code::ValueNull, "arguments[0]")
    );
    let nan = json_gate(&scene, "S.Nan")
        .call_values(&[json!(1)])
        .unwrap_err();
    assert_eq!((nan.code(), path(&nan)), (Code::TypeMismatch, "result"));
    assert!(nan.may_have_run());
}

/// A value that cannot be an argument is refused before it is sent.
#[test]
fn what_is_no_call_is_refused_before_it_is_sent() {
    let scene = Scene::new("thread");
    let wide = json_gate(&scene, "S.Wide");
    let before = scene.json_calls("S.Wide");
    let refused = |request: &[u8]| {
        let [called, sent] = [
            wide.call(request).map(drop),
            wide.send(request).and_then(Sent::wait).map(drop),
        ];
        let (called, sent) = (called.unwrap_err(), sent.unwrap_err());
        assert_eq!(called.code(), sent.code());
        assert_eq!(called.gate(), Some("S.Wide"));
        assert!(!called.may_have_run());
        called.code()
    };
    for none in [b"[1", b"[1,".as_slice(), b"[1] 2", b"", b"[\xff]", b"[01]"] {
        assert_eq!(refused(none), Code::InvalidArgument, "{none:?}");
    }
    assert_eq!(refused(b"{\"n\":1}"), Code::TypeMismatch);
    let deep = format!("[{}{}]", "[".repeat(65), "]".repeat(65));
    assert_eq!(refused(deep.as_bytes()), Code::TypeMismatch);
    assert_eq!(refused(b"[]"), Code::LengthMismatch);
    assert_eq!(refused(b"[1,2]"), Code::LengthMismatch);
    assert_eq!(code(wide.call_values(&[])), Code::LengthMismatch);
    assert_eq!(scene.json_calls("S.Wide"), before, "none of it was sent");
    assert_eq!(wide.call_values(&[json!(1)]).unwrap(), json!(1));
}

/// A bus, and a provider without Rust types: in a process of its own in some mode, or in this one.
struct Untyped {
    caller: callgate_client::Plugin,
    bus: Bus,
    _there: Option<Process>,
    _here: Option<(Vec<callgate_client::Provider>, callgate_client::Plugin)>,
}

fn untyped(mode: &str) -> Untyped {
    let bus = Bus::start(programs!());
    let (mut there, mut here) = (None, None);
    if mode == "direct" {
        let plugin = bus.builder("U").direct_calls(true).connect().unwrap();
        here = Some((untyped::provide(&plugin, "U").unwrap(), plugin));
    } else {
        there = Some(bus.peer("untyped", "U", &[mode]));
    }
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    Untyped {
        caller,
        bus,
        _there: there,
        _here: here,
    }
}

#[test]
fn typed_callers_call_gates_without_types() {
    for mode in ["thread", "pool", "direct"] {
        println!("mode {mode}");
        let scene = untyped(mode);
        for gate in ["U.Repeat", "U.RepeatLater"] {
            // Once with the same types, and once with others.
            let same = open::<(String, u32), String>(&scene.caller, gate);
            assert!(same.is_converted());
            assert_eq!(same.invoke(("ab".to_owned(), 2)).unwrap(), "abab");
            let other = open::<(char, u8), String>(&scene.caller, gate);
            assert_eq!(other.invoke(('z', 3)).unwrap(), "zzz");
            let any = open::<(Json, Json), Json>(&scene.caller, gate);
            let error = any.invoke((json!(1).into(), json!(2).into())).unwrap_err();
            assert_eq!(error.context().unwrap()["handler_code"], "ODD");
            let never = scene.caller.subscriber::<(u32, u32), String>(gate).unwrap();
            assert_eq!(code(never.invoke((1, 2))), Code::TypeMismatch);
        }
        let text = open::<(Vec<u16>,), Vec<u64>>(&scene.caller, "U.Text");
        assert_eq!(text.invoke((vec![1, 2],)).unwrap(), [1, 2]);
        let many: Vec<u16> = (0..30_000).collect();
        assert_eq!(text.invoke((many.clone(),)).unwrap().len(), many.len());
        let note = open::<(u32,), ()>(&scene.caller, "U.Note");
        note.invoke_action((1,)).unwrap();
    }
}

#[gate_type]
struct Place {
    y: f64,
    x: u32,
    name: String,
}

/// A signature can be made at run time: a script's types have no counterpart in Rust.
#[test]
fn a_signature_that_was_made_at_run_time_is_one() {
    let scene = untyped("thread");
    let length = open::<(Place,), f64>(&scene.caller, "U.Length");
    let place = Place {
        y: 4.0,
        x: 3,
        name: "there".to_owned(),
    };
    assert_eq!(length.invoke((place,)).unwrap(), 5.0);
    let json = dynamic::open_json(&scene.caller, "U.Length").unwrap();
    assert_eq!(*json.signature().unwrap(), made_signature());
    // The arguments are not converted: their number is that of the signature, and they may be any values.
    let point = json!({ "x": 0, "y": 2 });
    assert_eq!(json.call_values(&[point]).unwrap(), json!(2.0));
}

#[test]
fn a_handler_of_both_is_told_what_has_come() {
    for mode in ["thread", "direct"] {
        let scene = untyped(mode);
        for gate in ["U.Either", "U.EitherLater"] {
            let archive = open::<(u32,), u32>(&scene.caller, gate);
            assert!(!archive.is_converted());
            assert_eq!(archive.invoke((1,)).unwrap(), 2);
            let json = open::<(u8,), u64>(&scene.caller, gate);
            assert!(json.is_converted());
            assert_eq!(json.invoke((1,)).unwrap(), 3);
            let untyped = dynamic::open_json(&scene.caller, gate).unwrap();
            assert_eq!(untyped.call_values(&[json!(1)]).unwrap(), json!(3));
            assert_eq!(
                code(untyped.call_values(&[json!(-1)])),
                Code::HandlerError,
                "what the handler makes of it is its own"
            );
        }
    }
}

/// A result that is no JSON is reported as the handler's fault, and not as a fault of the link.
#[test]
fn a_result_that_is_no_json_is_the_handler_s_fault() {
    for mode in ["thread", "direct"] {
        let scene = untyped(mode);
        for gate in ["U.Broken", "U.BrokenLater"] {
            let typed = open::<(u32,), u32>(&scene.caller, gate);
            let untyped = dynamic::open_json(&scene.caller, gate).unwrap();
            for _ in 0..3 {
                let errors = [
                    typed.invoke((1,)).unwrap_err(),
                    untyped.call_values(&[json!(1)]).unwrap_err(),
                ];
                for error in errors {
                    assert_eq!(error.code(), Code::HandlerError, "{error}");
                    assert_eq!(error.context().unwrap()["handler_code"], "NOT_JSON");
                    assert!(error.may_have_run());
                }
            }
        }
        let repeat = open::<(String, u32), String>(&scene.caller, "U.Repeat");
        assert_eq!(repeat.invoke(("a".to_owned(), 1)).unwrap(), "a");
    }
}

/// After the broker was restarted, the next one is asked for the signature again.
#[test]
fn calls_without_types_go_on_after_a_restart() {
    let mut scene = untyped("thread");
    let repeat = dynamic::open_json(&scene.caller, "U.Repeat").unwrap();
    let repeat = repeat.with_timeout(PATIENCE);
    let call = |repeat: &Gate| repeat.call_values(&[json!("ab"), json!(2)]);
    assert_eq!(call(&repeat).unwrap(), json!("abab"));
    for _ in 0..2 {
        scene.bus.restart_broker();
        assert_eq!(call(&repeat).unwrap(), json!("abab"));
        let other = dynamic::open_json(&scene.caller, "U.RepeatLater").unwrap();
        other.wait_ready(PATIENCE).unwrap();
        assert_eq!(call(&other).unwrap(), json!("abab"));
        let text = other.signature().unwrap().to_string();
        assert_eq!(text, "(String, u32) -> String");
    }
}

/// A handler may have both a parameter of any type and one with a Rust type.
#[test]
fn values_stand_among_typed_parameters() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let provider = bus.builder("V").direct_calls(direct).connect().unwrap();
        let nth = |value: Value, n: u32| value[n as usize].clone();
        let _nth = provider.provide("V.Nth", nth).unwrap();
        let caller = bus.builder("T").direct_calls(true).connect().unwrap();
        let json = dynamic::open_json(&caller, "V.Nth").unwrap();
        assert_eq!(json.signature().unwrap().to_string(), "(any, u32) -> any");
        let list = json!([1, { "a": null }]);
        let second = json.call_values(&[list.clone(), json!(1)]).unwrap();
        assert_eq!(second, list[1]);
        let error = json.call_values(&[list.clone(), json!(-1)]).unwrap_err();
        assert_eq!(path(&error), "arguments[1]");
        let typed = open::<(Vec<u8>, u8), u64>(&caller, "V.Nth");
        assert_eq!(typed.invoke((vec![4, 5], 1)).unwrap(), 5);
        let same = open::<(Json, u32), Json>(&caller, "V.Nth");
        assert!(!same.is_converted());
        assert_eq!(same.invoke((list.clone().into(), 0)).unwrap().0, json!(1));
    }
}
