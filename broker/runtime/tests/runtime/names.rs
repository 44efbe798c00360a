//! A plugin of a folder with the name of another plugin of the host: which policy holds when.

use callgate::Policy;
use callgate::supervision::State;
use callgate_client::{Code, Plugin};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, READY, Scene, await_that, reach, told};

fn join(scene: &Scene, name: &str) -> callgate_client::Result<Plugin> {
    let socket = scene.broker.connect().expect("a connection");
    Plugin::builder(name).descriptor(socket).connect()
}

/// Whether a plugin may provide a gate of another name, which no manifest here allows.
fn may_provide(plugin: &Plugin) -> bool {
    match plugin.provide("elsewhere.gate", || 1_u32) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::PermissionDenied, "{error}");
            false
        }
    }
}

/// Both transports, with the keys that their manifests need.
fn transports() -> [(&'static [&'static str], Value); 2] {
    let linked = json!({"transport": "shm", "restart": {"backoff_ms": [10]}});
    let piped = json!({"restart": {"backoff_ms": [10]}});
    [
        (&[READY, "serve"], piped),
        (&["provide mixer.gate", "hang"], linked),
    ]
}

/// A folder whose plugin has the name of a running plugin does not change that plugin's rights.
#[test]
fn a_folder_does_not_take_the_policy_of_a_plugin_that_has_its_name() {
    for (steps, more) in transports() {
        let scene = Scene::new();
        let host = join(&scene, "mixer").expect("it joins");
        scene.plugin_with("mixer", steps, &more);
        let runtime = scene.start();
        let line = told(&runtime, "mixer", "cannot be started");
        assert!(line.contains("the name `mixer` is taken"), "{line}");
        assert!(may_provide(&host), "its policy was replaced");
        drop(host);
        // It is tried again when the name is free.
        runtime.start_plugin("mixer").expect("it is known");
        reach(&runtime, "mixer", State::Ready);
        let taken = join(&scene, "mixer").expect_err("the name is taken");
        assert_eq!(taken.code(), Code::NameTaken, "{taken}");
    }
}

/// The policy from a manifest ends with its plugin. It does not stay for the next plugin of that name.
#[test]
fn a_policy_of_a_manifest_ends_with_the_plugin() {
    for (steps, more) in transports() {
        for was_there in [None, Some(Policy::new().provide("mixer.*").call("*"))] {
            let scene = Scene::new();
            let set = scene.broker.set_policy("mixer", was_there.clone());
            set.expect("it is set");
            scene.plugin_with("mixer", steps, &more);
            let runtime = scene.start();
            reach(&runtime, "mixer", State::Ready);
            runtime.stop_plugin("mixer").expect("it is known");
            reach(&runtime, "mixer", State::Stopped);
            let is_as_before = |when: &str| {
                let next = await_that("the name is free", || join(&scene, "mixer").ok());
                assert_eq!(may_provide(&next), was_there.is_none(), "{when}");
            };
            is_as_before("the plugin was stopped");
            // Its next life has its own policy again.
            await_that("it runs", || {
                runtime.start_plugin("mixer").expect("it is known");
                runtime.wait_for("mixer", &[State::Ready], PATIENCE / 30)
            });
            drop(runtime);
            is_as_before("the runtime has ended");
        }
    }
}

/// When a life ends and the next one begins at once with the same name, neither is in the other's way.
#[test]
fn each_life_of_a_plugin_has_its_name() {
    for (steps, mut more) in transports() {
        let scene = Scene::new();
        more["restart"]["quarantine_crashes"] = json!(100);
        scene.plugin_with("mixer", steps, &more);
        let runtime = scene.start();
        let mut pid = reach(&runtime, "mixer", State::Ready).supervision.pid;
        for round in 0..20 {
            match round % 2 {
                0 => runtime.restart("mixer").expect("it is known"),
                _ => {
                    let pid = i32::try_from(pid.expect("it runs")).expect("a number");
                    let pid = nix::unistd::Pid::from_raw(pid);
                    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)
                        .expect("it runs");
                }
            }
            pid = await_that("another life", || {
                let status = reach(&runtime, "mixer", State::Ready);
                let now = status.supervision.pid;
                (now != pid).then_some(now)
            });
        }
        let log = runtime.logs("mixer").expect("a log").last(500);
        let taken = log.iter().find(|line| line.text.contains("is taken"));
        assert!(taken.is_none(), "{taken:?}");
    }
}
