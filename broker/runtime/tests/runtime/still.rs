//! Peers that stand still while plugins on pipes call them.

use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate::supervision::State;
use callgate_client::Json;
use callgate_client::dynamic::open_json;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scene::{PATIENCE, READY, Scene, reach, told};

const GO: &str = r#"wait {"type":"request"}"#;

/// A peer that stands still delays only the children that call it, and not what others have asked of other peers.
#[test]
fn a_peer_that_stands_still_keeps_only_those_waiting_who_ask_it() {
    // A caller waits for it as long as this.
    let scene = Scene::on(Broker::builder().step_deadline(PATIENCE));
    let linked = json!({"transport": "shm"});
    scene.plugin_with("still", &["provide still.tell", "hang"], &linked);
    for n in 0..3 {
        let may =
            json!({"runtime_capabilities": ["gate.call:still.*", "events.subscribe:still.*"]});
        let ask = match n {
            0 => r#"send {"type":"events.subscribe","id":"1","topic":"still.tell"}"#,
            _ => r#"send {"type":"still.tell","id":"1"}"#,
        };
        scene.plugin_with(&format!("asks-{n}"), &[READY, GO, ask, "serve"], &may);
    }
    let may = json!({"runtime_capabilities": ["gate.call:host.*"]});
    let ask = r#"send {"type":"host.echo","id":"1"}"#;
    let steps = [
        READY,
        GO,
        ask,
        r#"wait {"type":"response","id":"1"}"#,
        "log answered",
        "serve",
    ];
    scene.plugin_with("other", &steps, &may);
    let host = scene.member("host");
    let echo = host.provide("host.echo", |value: Json| value);
    let _echo = echo.expect("it is provided");
    let runtime = scene.start();
    let go = |name: &str| {
        reach(&runtime, name, State::Ready);
        let gate = open_json(&host, &format!("{name}.go")).expect("a gate");
        gate.wait_ready(PATIENCE).expect("it serves");
        let sent = gate.with_timeout(PATIENCE).send_values(&[json!({})]);
        sent.expect("it is sent")
    };
    let pid = reach(&runtime, "still", State::Ready).supervision.pid;
    let pid = Pid::from_raw(i32::try_from(pid.expect("it runs")).expect("a number"));
    kill(pid, Signal::SIGSTOP).expect("it runs");
    let _asking = [0, 1, 2].map(|n| go(&format!("asks-{n}")));
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let _sent = go("other");
    told(&runtime, "other", "answered");
    // A thread that opens a gate waits up to 5 s for it, and for each gate in turn.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    kill(pid, Signal::SIGCONT).expect("it runs");
}
