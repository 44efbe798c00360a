//! Schedules.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{Prefix, Responder, Takes, provide_prefix, provide_with};
use callgate_client::{Json, Provider, action_signature_of, signature_of};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::scene::{Member, PATIENCE, Scene};

const TICK: &str = "schedule.tick";

fn register(name: &str, interval: u64) -> Value {
    json!({"name": name, "interval_ms": interval})
}

/// Receives ticks under the plugin's prefix, as a plugin on pipes does.
fn ticks(member: &Member) -> (Provider, Receiver<Value>) {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let takes = Takes::values(move |context, mut values| {
        assert!(context.gate().ends_with(TICK), "{}", context.gate());
        // The test may be over.
        let _ = sender.lock().send(values.remove(0));
        Ok(Value::Null)
    });
    (provide(member, takes), receiver)
}

/// Receives ticks, and answers none until it is told to.
fn held_ticks(member: &Member) -> (Provider, Receiver<(Value, Responder)>) {
    let (sender, receiver): (Sender<(Value, Responder)>, _) = channel();
    let sender = Mutex::new(sender);
    let takes = Takes::values_later(move |_, mut values, responder| {
        let _ = sender.lock().send((values.remove(0), responder));
    });
    (provide(member, takes), receiver)
}

fn skipped(tick: &Value) -> u64 {
    tick["skipped"].as_u64().expect("a number")
}

fn provide(member: &Member, takes: Takes) -> Provider {
    let prefix = Prefix::new(format!("{}.", member.plugin.name()))
        .with_signature(signature_of::<(Json,), Json>());
    provide_prefix(&member.plugin, prefix, takes).expect("it is provided")
}

#[test]
fn ticks_come_until_the_schedule_is_ended() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let (_gate, ticks) = ticks(&plugin);
    let begun = Instant::now();
    plugin.call("schedule.register", register("minutely", 1_000));
    let tick = ticks.recv_timeout(PATIENCE).expect("a tick");
    assert!(begun.elapsed() >= Duration::from_millis(1_000));
    assert_eq!(tick["name"], "minutely");
    assert!(skipped(&tick) < begun.elapsed().as_secs(), "{tick}");
    assert!(tick["firedAt"].as_u64() > Some(1_600_000_000_000));
    ticks.recv_timeout(PATIENCE).expect("another tick");
    let end = || plugin.call("schedule.unregister", json!({"name": "minutely"}));
    assert_eq!(end(), true);
    assert_eq!(end(), false);
    while ticks.try_recv().is_ok() {}
    let none = ticks.recv_timeout(Duration::from_millis(2_500));
    assert!(none.is_err(), "{none:?}");
}

#[test]
fn a_schedule_of_the_same_name_takes_the_place_of_the_first() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let (_gate, ticks) = ticks(&plugin);
    plugin.call("schedule.register", register("a", 1_000));
    plugin.call("schedule.register", register("a", 3_600_000));
    plugin.call("schedule.register", register("b", 1_000));
    for _ in 0..2 {
        assert_eq!(ticks.recv_timeout(PATIENCE).expect("a tick")["name"], "b");
    }
}

/// While a plugin handles a slow tick, later ones are skipped and counted. It does not get all of them afterwards.
#[test]
fn a_slow_tick_has_others_skipped_and_told() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let (_gate, ticks) = held_ticks(&plugin);
    plugin.call("schedule.register", register("slow", 1_000));
    let (_, responder) = ticks.recv_timeout(PATIENCE).expect("a tick");
    let none = ticks.recv_timeout(Duration::from_millis(2_500));
    assert!(none.is_err(), "two are under way");
    responder
        .reply_value(&Value::Null)
        .expect("it is waited for");
    let (second, responder) = ticks.recv_timeout(PATIENCE).expect("a tick");
    assert!(skipped(&second) >= 2, "{second}");
    responder
        .reply_value(&Value::Null)
        .expect("it is waited for");
    // No more than there was time for since then.
    let (third, _responder) = ticks.recv_timeout(PATIENCE).expect("a tick");
    let fired = |tick: &Value| tick["firedAt"].as_u64().expect("a time");
    let since = (fired(&third) - fired(&second)) / 1_000;
    assert!(skipped(&third) <= since, "{third} after {second}");
}

/// A plugin that provides the gate's other half as well is still in the same life.
#[test]
fn who_provides_more_of_the_gate_gets_further_ticks() {
    let scene = Scene::new();
    let member = scene.member("chat");
    let (sender, ticks) = channel();
    let takes = Takes::values(move |_, mut values| {
        let _ = sender.send(values.remove(0));
        Ok(Value::Null)
    });
    let (plugin, gate) = (&member.plugin, "chat.schedule.tick");
    let _gate = provide_with(plugin, gate, &signature_of::<(Json,), Json>(), takes);
    member.call("schedule.register", register("on", 1_000));
    ticks.recv_timeout(PATIENCE).expect("a tick");
    let takes = Takes::values(|_, _| Ok(Value::Null));
    let _other = provide_with(plugin, gate, &action_signature_of::<(Json,)>(), takes);
    for _ in 0..2 {
        ticks.recv_timeout(PATIENCE).expect("another tick");
    }
}

/// A plugin's next life gets no ticks of schedules of the life before.
#[test]
fn the_next_life_of_a_plugin_has_no_schedules_of_the_one_before() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let (gate, first) = ticks(&plugin);
    plugin.call("schedule.register", register("old", 1_000));
    first.recv_timeout(PATIENCE).expect("a tick");
    drop((gate, plugin));
    let plugin = scene.member("chat");
    let (_gate, second) = ticks(&plugin);
    let none = second.recv_timeout(Duration::from_millis(2_500));
    assert!(none.is_err(), "{none:?}");
    plugin.call("schedule.register", register("new", 1_000));
    for _ in 0..3 {
        assert_eq!(
            second.recv_timeout(PATIENCE).expect("a tick")["name"],
            "new"
        );
    }
}

/// The same if the services have never noticed that the life before was there, or that it ended.
#[test]
fn a_plugin_that_comes_back_at_once_has_only_what_it_registers_then() {
    let scene = Scene::new();
    for round in 0..5 {
        let plugin = scene.member("chat");
        plugin.call("schedule.register", register(&format!("r{round}"), 1_000));
    }
    let plugin = scene.member("chat");
    plugin.call("schedule.register", register("now", 1_000));
    let (_gate, ticks) = ticks(&plugin);
    for _ in 0..2 {
        assert_eq!(ticks.recv_timeout(PATIENCE).expect("a tick")["name"], "now");
    }
}

/// With `serve_ready_handshake` it can be called only later.
#[test]
fn a_plugin_may_register_before_it_can_be_called() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    plugin.call("schedule.register", register("early", 1_000));
    std::thread::sleep(Duration::from_millis(2_500));
    let (_gate, ticks) = ticks(&plugin);
    let tick = ticks.recv_timeout(PATIENCE).expect("a tick");
    assert!(skipped(&tick) >= 1, "{tick}");
}

#[test]
fn what_cannot_be_scheduled_is_refused() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    for (fields, field) in [
        (json!({"interval_ms": 1_000}), "name"),
        (json!({"name": "", "interval_ms": 1_000}), "name"),
        (json!({"name": "a"}), "interval_ms"),
        (register("a", 999), "interval_ms"),
        (register("a", 0), "interval_ms"),
        (register("a", u64::MAX), "interval_ms"),
        (json!({"name": "a", "interval_ms": -1}), "interval_ms"),
        (json!({"name": "a", "interval_ms": 1_000.5}), "interval_ms"),
    ] {
        let (code, context) = plugin.refused("schedule.register", fields.clone());
        assert_eq!(code, "INVALID_ARGUMENT", "{fields}");
        assert_eq!(context["field"], field, "{fields}");
    }
    for n in 0..64 {
        plugin.call("schedule.register", register(&format!("s{n}"), 3_600_000));
    }
    let (code, context) = plugin.refused("schedule.register", register("more", 1_000));
    assert_eq!(
        (&*code, &context["quota"]),
        ("QUOTA_EXCEEDED", &json!("schedules"))
    );
    plugin.call("schedule.register", register("s3", 1_000));
    plugin.call("schedule.unregister", json!({"name": "s0"}));
    plugin.call("schedule.register", register("more", 1_000));
}
