//! Gates whose types cannot be converted: opening them fails, and the error says what differs.

use std::time::Duration;

use callgate_client::dynamic::{self, Body, Field, Primitive, Schema, Signature, TypeDef};
use callgate_client::{Code, Error};
use callgate_layout::control::MAX_INLINE_SCHEMA;
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{await_that, code};
use callgate_tests::types::caller::{Bare, Odd, Summary};
use callgate_tests::types::{self};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::scene::Scene;

fn has(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_can_never_be_converted_is_told_with_its_path() {
    for mode in ["thread", "direct"] {
        let scene = Scene::new(mode);
        let odd = scene
            .caller
            .subscriber::<(Odd,), types::Summary>("S.Sum")
            .unwrap();
        assert!(odd.has_function() && !odd.is_converted());
        let long = Duration::from_secs(60);
        let waited = odd.wait_ready(long).unwrap_err();
        let given = Odd {
            title: 1,
            gain: 1.0,
            samples: vec![],
        };
        let called = odd.invoke((given,)).unwrap_err();
        for error in [waited, called] {
            assert_eq!(error.code(), Code::TypeMismatch);
            assert!(!error.may_have_run());
            has(
                &error,
                &["arguments[0].title", "`S`", "String", "u32", "S.Sum"],
            );
            let context = error.context().unwrap();
            assert_eq!(context["path"], "arguments[0].title");
            assert_eq!(context["plugin"], "S");
        }
        let bare = scene
            .caller
            .subscriber::<(Bare,), types::Summary>("S.Sum")
            .unwrap();
        let error = bare.wait_ready(long).unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
        has(
            &error,
            &["arguments[0].", "`S` needs this field", "serde(default)"],
        );
        let result = scene
            .caller
            .subscriber::<(u32,), Vec<u32>>("S.Wide")
            .unwrap();
        let error = result.wait_ready(long).unwrap_err();
        assert_eq!(error.context().unwrap()["path"], "result");
    }
}

#[test]
fn another_number_of_parameters_is_told_as_such() {
    let scene = Scene::new("thread");
    let more = scene
        .caller
        .subscriber::<(u32, u32), u32>("S.Wide")
        .unwrap();
    let waited = more.wait_ready(Duration::from_secs(60));
    assert_eq!(code(waited), Code::LengthMismatch);
    assert_eq!(code(more.invoke((1, 2))), Code::LengthMismatch);
}

/// A missing half of a gate does not hinder the conversion of the other.
#[test]
fn each_half_stands_for_itself() {
    let scene = Scene::new("thread");
    let note = scene.open::<(u8,), Summary>("S.Note");
    assert!(note.has_action() && !note.has_function());
    note.invoke_action((1,)).unwrap();
    assert_eq!(code(note.invoke((1,))), Code::NotReady);
}

/// Gates of bytes are not converted: bytes count as archives of one layout.
#[test]
fn gates_of_bytes_are_not_converted() {
    let scene = Scene::new("thread");
    let later = scene.caller.subscriber::<(u8,), u8>("S.Later").unwrap();
    let error = later.wait_ready(Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    has(&error, &["archives", "`S`"]);
    let own = scene.open::<(u32,), u32>("S.Later");
    assert_eq!(own.invoke((5,)).unwrap(), 5);
    let signature = callgate_client::signature_of::<(u8,), u8>();
    let bytes = dynamic::open(&scene.caller, "S.Wide", &signature).unwrap();
    assert_eq!(code(bytes.call(&[1])), Code::TypeMismatch);
    let sent = bytes.send(&[1]).and_then(|sent| sent.wait().map(drop));
    assert_eq!(code(sent), Code::TypeMismatch);
}

/// A plugin that only watches gates declares no types, and is told of gates of any type.
#[test]
fn watchers_see_gates_of_all_types() {
    let scene = Scene::new("thread");
    let watch = scene.caller.watch("S.Sum").unwrap();
    let event = watch.next(Duration::from_secs(20)).unwrap().expect("news");
    assert!(event.is_present() && event.has_function && !event.has_action);
}

/// A signature whose schema takes several records.
fn long(last: Primitive) -> Signature {
    let field = |name: String, schema| Field {
        name,
        schema,
        default: false,
    };
    let name = |n: usize| format!("{}{n}", "a_rather_long_name_".repeat(10));
    let numbers = (0..500).map(|n| field(name(n), Schema::Primitive(Primitive::U32)));
    let last = field("last".to_owned(), Schema::Primitive(last));
    Signature {
        params: Some(vec![Schema::Named(0)]),
        result: Some(Schema::Unit),
        types: vec![TypeDef {
            name: "Long".to_owned(),
            body: Body::Struct(numbers.chain([last]).collect()),
        }],
    }
}

/// A schema that needs several records is uploaded and fetched in parts, and again at the next broker.
#[test]
fn long_schemas_pass_in_parts() {
    let mut bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("S"), bus.plugin("T"));
    let signature = long(Primitive::U8);
    assert!(signature.to_bytes().unwrap().len() > 3 * MAX_INLINE_SCHEMA);
    let answer = |_: callgate_client::Context<'_>, _: &[u8]| Ok(Vec::new());
    let gates = ["S.A", "S.B"].map(|gate| dynamic::provide(&provider, gate, &signature, answer));
    let _gates = gates.map(|gate| gate.unwrap());
    let same = dynamic::open(&caller, "S.A", &signature).unwrap();
    let other = long(Primitive::Bool);
    let other = dynamic::open(&caller, "S.B", &other).unwrap();
    let told = [&provider, &caller].map(Told::by);
    for _ in 0..2 {
        same.wait_ready(PATIENCE).unwrap();
        assert!(same.call(&[0; 2004]).unwrap().is_empty());
        let error = other.wait_ready(PATIENCE).unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
        has(&error, &["arguments[0].last", "`S`"]);
        bus.restart_broker();
        for told in &told {
            told.lost();
            told.back();
        }
        // A gate that is back is reported after its types were compared again.
        let late = bus.plugin("Late");
        await_that("the gates are back", || {
            let opened = dynamic::open(&late, "S.B", &signature);
            opened.is_ok_and(|gate| gate.wait_ready(Duration::ZERO).is_ok())
        });
    }
}
