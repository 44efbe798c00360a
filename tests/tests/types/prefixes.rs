//! Prefixes: one handler for every gate under a prefix.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Gate, Takes};
use callgate_client::{Code, GateOptions, HandlerError, Json, Plugin, Provider};
use callgate_tests::proc::{Holdings, private_memory};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::untyped::provide_prefixes;
use callgate_tests::{Bus, PATIENCE, Process, programs};
use serde_json::{Value, json};

/// A bus, and a provider of prefixes `P`: in a process of its own in some mode, or in this one.
struct Scene {
    caller: Plugin,
    bus: Bus,
    there: Option<Process>,
    _here: Option<(Vec<Provider>, Plugin)>,
}

const MODES: [&str; 4] = ["thread", "pool", "here", "direct"];

fn scene(mode: &str) -> Scene {
    let bus = Bus::start(programs!());
    let (mut there, mut here) = (None, None);
    match mode {
        "direct" | "here" => {
            let builder = bus.builder("P").direct_calls(mode == "direct");
            let plugin = builder.connect().unwrap();
            here = Some((provide_prefixes(&plugin, "P").unwrap(), plugin));
        }
        _ => there = Some(bus.peer("prefixes", "P", &[mode])),
    }
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    Scene {
        caller,
        bus,
        there,
        _here: here,
    }
}

fn json_gate(plugin: &Plugin, gate: &str) -> Gate {
    let gate = dynamic::open_json(plugin, gate).unwrap();
    gate.with_timeout(PATIENCE)
}

fn call(plugin: &Plugin, gate: &str, values: &[Value]) -> callgate_client::Result<Value> {
    json_gate(plugin, gate).call_values(values)
}

#[test]
fn one_handler_serves_every_name() {
    for mode in MODES {
        println!("mode {mode}");
        let scene = scene(mode);
        let caller = &scene.caller;
        for name in ["P.all.a", "P.all.b.c", "P.all..", "P.all.Größe"] {
            if name.ends_with('.') {
                assert_eq!(
                    code(dynamic::open_json(caller, name)),
                    Code::InvalidArgument
                );
                continue;
            }
            let gate = json_gate(caller, name);
            assert!(gate.has_function() && !gate.has_action());
            assert_eq!(gate.owner().as_deref(), Some("P"));
            assert_eq!(gate.signature().unwrap().to_string(), "(..) -> any");
            for values in [
                vec![],
                vec![json!(1)],
                vec![json!({ "a": [null] }), json!("b")],
            ] {
                let told = json!([name, values]);
                assert_eq!(gate.call_values(&values).unwrap(), told);
                let sent = gate.send_values(&values).unwrap();
                assert_eq!(sent.wait_value().unwrap(), told);
            }
            let typed = open::<(u8, String), (String, Json)>(caller, name);
            let (told, given) = typed.invoke((7, "x".to_owned())).unwrap();
            assert_eq!((told.as_str(), given.0), (name, json!([7, "x"])));
        }
        let later = json_gate(caller, "P.later.x").call(b"[1, 2]").unwrap();
        let later: Value = serde_json::from_slice(&later).unwrap();
        assert_eq!(later, json!(["P.later.x", "[1, 2]"]));
        let done = json_gate(caller, "P.done.x").action();
        assert!(done.has_action() && !done.has_function());
        assert_eq!(done.call_values(&[json!(1)]).unwrap(), Value::Null);
        open::<(u8,), ()>(caller, "P.done.y")
            .invoke_action((1,))
            .unwrap();
    }
}

/// Exact names take precedence over prefixes, and longer prefixes over shorter ones.
#[test]
fn exact_gates_and_longer_prefixes_come_before() {
    for mode in ["thread", "direct"] {
        let scene = scene(mode);
        assert_eq!(
            call(&scene.caller, "P.all.deep.x", &[]).unwrap(),
            json!("deep")
        );
        assert_eq!(
            call(&scene.caller, "P.all.deep", &[]).unwrap(),
            json!(["P.all.deep", []])
        );
        let exact = open::<(u32,), u32>(&scene.caller, "P.all.exact");
        assert!(!exact.is_converted());
        assert_eq!(exact.invoke((1,)).unwrap(), 2);
        let error = call(&scene.caller, "P.all.exact", &[]).unwrap_err();
        assert_eq!(error.code(), Code::LengthMismatch);
    }
}

#[test]
fn names_under_a_prefix_may_have_the_types_of_a_signature() {
    for mode in ["thread", "direct"] {
        let scene = scene(mode);
        for name in ["P.typed.a", "P.typed.b"] {
            let same = open::<(u32,), u32>(&scene.caller, name);
            assert!(!same.is_converted());
            assert_eq!(same.invoke((1,)).unwrap(), 2, "as an archive");
            let other = open::<(u8,), u64>(&scene.caller, name);
            assert!(other.is_converted());
            assert_eq!(other.invoke((1,)).unwrap(), 3, "as JSON");
            let never = scene.caller.subscriber::<(String,), u32>(name).unwrap();
            assert_eq!(code(never.invoke(("x".to_owned(),))), Code::TypeMismatch);
        }
    }
}

/// A predicate says which names exist under a prefix: calls to others find no gate.
#[test]
fn a_predicate_says_which_names_there_are() {
    for mode in ["thread", "direct"] {
        let scene = scene(mode);
        let caller = &scene.caller;
        assert!(json_gate(caller, "P.some.yes").has_function());
        for none in ["P.some.no", "P.some.panic"] {
            let gate = json_gate(caller, none);
            assert!(!gate.has_function(), "{none}");
            let short = gate.with_timeout(Duration::from_millis(50));
            assert_eq!(code(short.call_values(&[])), Code::NotReady);
            let typed = caller.subscriber::<(), String>(none).unwrap();
            assert!(!typed.has_function());
        }
        assert_eq!(
            call(caller, "P.some.yes", &[]).unwrap(),
            json!(["P.some.yes", []])
        );
    }
}

#[test]
fn what_begins_with_a_prefix_is_its_owner_s() {
    let scene = scene("thread");
    let mut other = scene.bus.peer("prefixes", "Q", &["thread"]);
    // Under another plugin's prefix.
    for taken in ["P.all.x", "P.all.exact", "P.all.x.", "P.all."] {
        let said = other.ask(&format!("provide {taken}"));
        assert_eq!(said, "ALREADY_PROVIDED", "{taken}");
    }
    // A prefix that covers another plugin's gates, or its prefixes.
    let _one = scene.caller.provide("X.y.z", || 1_u8).unwrap();
    for taken in ["P.", "X.", "X.y."] {
        let said = other.ask(&format!("provide {taken}"));
        assert_eq!(said, "ALREADY_PROVIDED", "{taken}");
    }
    assert_eq!(other.ask("provide X.y"), "provided");
    assert_eq!(
        other.ask("provide X.y.z.a"),
        "provided",
        "a gate is no prefix"
    );
    assert_eq!(other.ask("provide no-dot."), "provided");
    assert_eq!(other.ask("withdraw"), "withdrawn");
    let mut owner = scene.there.unwrap();
    assert_eq!(owner.ask("provide no-dot.x"), "provided");
    assert_eq!(owner.ask("provide P.all.own"), "provided");
    assert_eq!(
        call(&scene.caller, "P.all.own", &[]).unwrap(),
        json!("P.all.own")
    );
    // The exact gate is withdrawn, and the prefix serves its name again.
    let gate = json_gate(&scene.caller, "P.all.own");
    assert_eq!(owner.ask("withdraw"), "withdrawn");
    await_that("the prefix stands for it", || {
        gate.call_values(&[])
            .is_ok_and(|told| told == json!(["P.all.own", []]))
    });
}

#[test]
fn a_prefix_is_withdrawn_by_dropping_its_provider() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let provider = bus.builder("P").direct_calls(direct).connect().unwrap();
        let caller = bus.builder("T").direct_calls(true).connect().unwrap();
        let told = || Takes::values(|context, _| Ok(json!(context.gate())));
        let gates = ["p.a", "p.b.c"].map(|name| json_gate(&caller, name));
        for _ in 0..3 {
            let prefix = dynamic::provide_prefix(&provider, "p.", told()).unwrap();
            assert_eq!(prefix.gate(), "p.");
            for gate in &gates {
                gate.wait_ready(PATIENCE).unwrap();
                assert_eq!(gate.call_values(&[]).unwrap(), json!(gate.name()));
            }
            let twice = dynamic::provide_prefix(&provider, "p.", told());
            assert_eq!(code(twice.map(drop)), Code::AlreadyProvided);
            drop(prefix);
            for gate in &gates {
                assert_eq!(code(gate.call_values(&[])), Code::NotReady);
                assert!(!gate.has_function());
            }
        }
        for none in ["p", "", "p..\n."] {
            let error = dynamic::provide_prefix(&provider, none, told()).map(drop);
            assert_eq!(code(error), Code::InvalidArgument, "{none:?}");
        }
    }
}

#[test]
fn prefixes_come_back_after_a_restart() {
    let mut scene = scene("thread");
    let names = ["P.all.a", "P.some.yes", "P.some.no", "P.all.deep.x"];
    let gates = names.map(|name| json_gate(&scene.caller, name));
    for _ in 0..3 {
        assert_eq!(gates[0].call_values(&[]).unwrap(), json!(["P.all.a", []]));
        assert_eq!(
            gates[1].call_values(&[]).unwrap(),
            json!(["P.some.yes", []])
        );
        assert!(!gates[2].has_function());
        assert_eq!(gates[3].call_values(&[]).unwrap(), json!("deep"));
        scene.bus.restart_broker();
        let new = format!("P.all.{}", scene.bus.broker.as_ref().unwrap().id());
        let gate = json_gate(&scene.caller, &new);
        gate.wait_ready(PATIENCE).unwrap();
        assert_eq!(gate.call_values(&[]).unwrap(), json!([new, []]));
    }
}

/// Options and statistics belong to the prefix, and count for all of its names together.
#[test]
fn options_and_statistics_are_the_prefix_s() {
    for mode in ["pool", "direct"] {
        let scene = scene(mode);
        let gates = ["a", "b", "c"].map(|name| json_gate(&scene.caller, &format!("P.one.{name}")));
        thread::scope(|scope| {
            for gate in &gates {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(gate.call_values(&[]).unwrap(), json!(0), "one at a time");
                    }
                });
            }
        });
        let listing = scene.caller.list().unwrap();
        let all = listing["gates"].as_array().unwrap();
        let one = all
            .iter()
            .find(|gate| gate["name"] == "P.one.")
            .expect("the prefix");
        assert_eq!(
            (&one["calls"], &one["errors"]),
            (&json!(15), &json!(0)),
            "{one}"
        );
    }
}

/// A handler waits, and a call of another chain, to a name under its plugin's prefix, runs on top of that wait.
#[test]
fn a_prefix_may_be_re_entrant() {
    let bus = Bus::start(programs!());
    let (a, b) = (bus.plugin("A"), bus.plugin("B"));
    let options = GateOptions::new().reentrant(true);
    a.set_gate_options("a.", options).unwrap();
    let named = Takes::values(|context, _| Ok(json!(context.gate())));
    let _prefix = dynamic::provide_prefix(&a, "a.", named).unwrap();
    let back = json_gate(&b, "a.x");
    let _through = b.provide("B.Through", move || -> Result<String, HandlerError> {
        // A thread of its own begins another chain.
        let back = back.clone();
        let called = thread::spawn(move || back.call_values(&[]));
        Ok(called.join().expect("no panic")?.to_string())
    });
    let through = open::<(), String>(&a, "B.Through");
    let _outer = a.provide("A.Outer", move || -> Result<String, HandlerError> {
        Ok(through.invoke(())?)
    });
    let caller = bus.plugin("T");
    let outer = open::<(), String>(&caller, "A.Outer");
    assert_eq!(outer.invoke(()).unwrap(), "\"a.x\"");
}

/// Calls so many names in turn, and closes each afterwards. Opening is a request, of which a plugin may make 4,096 a
/// second.
fn call_in_turn(names: std::ops::Range<u32>, caller: &Plugin) {
    let mut begun = Instant::now();
    for number in names {
        if number % 50 == 0 {
            thread::sleep(Duration::from_millis(40).saturating_sub(begun.elapsed()));
            begun = Instant::now();
        }
        let name = format!("P.all.{number}");
        let called = call(caller, &name, &[]).unwrap();
        assert_eq!(called[0], json!(name));
    }
}

/// A link serves any number of names one after the other, more than there are indexes, and nothing stays behind of
/// each in the three processes.
fn names_without_end(names: u32) {
    let scene = scene("thread");
    let there = scene.there.as_ref().unwrap().id();
    let broker = scene.bus.broker.as_ref().unwrap().id();
    let all = [
        ("the provider", there),
        ("the broker", broker),
        ("the caller", std::process::id()),
    ];
    // By now the tables have their full lengths: an index is used again only after a thousand others.
    call_in_turn(0..2_500, &scene.caller);
    let before = all.map(|(_, pid)| (Holdings::at_rest(there), private_memory(pid)));
    call_in_turn(2_500..names, &scene.caller);
    for ((who, pid), (_, memory)) in all.into_iter().zip(&before) {
        let now = private_memory(pid);
        let more = now.saturating_sub(*memory);
        assert!(more < 2 << 20, "{who} has {more} bytes more than {memory}");
    }
    before[0].0.expect_again("the provider", there);
    let listing = scene.caller.list().unwrap();
    let prefix = listing["gates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|gate| gate["name"] == "P.all.");
    assert_eq!(prefix.unwrap()["calls"], json!(names));
}

#[test]
fn names_are_called_in_turn_without_end() {
    names_without_end(5_000);
}

/// `cargo test --release -p callgate-tests --test types -- --ignored names_by_the_hundred_thousand`
#[test]
#[ignore = "takes three minutes"]
fn names_by_the_hundred_thousand() {
    names_without_end(200_000);
}
