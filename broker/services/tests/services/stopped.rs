//! Plugins that stand still while they use the services.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::dynamic::{Prefix, Takes, open_json, provide_prefix};
use callgate_client::{Json, Plugin, signature_of};
use callgate_services::Limits;
use nix::sys::signal::{Signal, raise};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene};

const NAME: &str = "CALLGATE_SERVICES_TEST_NAME";

/// The processes of the test below run this: each registers a schedule, and stands still before anybody can open its
/// gate.
#[test]
#[ignore = "a part of the test below"]
fn registers_and_stands_still() {
    let Ok(name) = env::var(NAME) else {
        return;
    };
    let plugin = Plugin::connect(&name).expect("it joins");
    let prefix = Prefix::new(format!("{name}.")).with_signature(signature_of::<(Json,), Json>());
    let takes = Takes::values(|_, _| Ok(Value::Null));
    let _ticks = provide_prefix(&plugin, prefix, takes).expect("it is provided");
    let register = open_json(&plugin, "schedule.register").expect("a gate");
    register.wait_ready(PATIENCE).expect("it is provided");
    let schedule = json!({"name": "s", "interval_ms": 1_000});
    let sent = register.send_values(&[schedule]).expect("it is sent");
    raise(Signal::SIGSTOP).expect("it stands still");
    drop(sent);
}

/// Plugins that stand still do not delay calls of other plugins to their stores.
#[test]
fn a_plugin_that_stands_still_keeps_nobody_from_its_store() {
    // A caller waits for each of them as long as this.
    let broker = Broker::builder().step_deadline(PATIENCE);
    let scene = Scene::on(broker, Limits::default());
    let other = scene.member("other");
    let kv = other.gate("data.kv");
    let get = [json!({"method": "get", "key": "a"})];
    let stopped: Vec<_> = (0..4)
        .map(|n| {
            let name = format!("stopped-{n}");
            let mut program = Command::new(env::current_exe().expect("a path"));
            program
                .args(["--exact", "stopped::registers_and_stands_still"])
                .args(["--ignored", "--nocapture", "--test-threads=1"])
                .env(NAME, &name);
            scene.broker.spawn(&name, program).expect("it starts")
        })
        .collect();
    let is_stopped = |child: &callgate::Child| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
        let stat = stat.expect("it lives");
        let (_, state) = stat.rsplit_once(')').expect("a state");
        state.starts_with(" T")
    };
    let begun = Instant::now();
    let (mut longest, mut were_stopped) = (Duration::ZERO, None);
    // The services look for their gates at ticks, too.
    let seconds = Duration::from_secs(5);
    while were_stopped.is_none_or(|since: Instant| since.elapsed() < seconds) {
        let asked = Instant::now();
        assert_eq!(kv.call_values(&get).expect("an answer"), Value::Null);
        longest = longest.max(asked.elapsed());
        if were_stopped.is_none() && stopped.iter().all(is_stopped) {
            were_stopped = Some(Instant::now());
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "they do not stand still");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A thread that opens a gate waits 5 s for it.
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}
