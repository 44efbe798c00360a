//! Many calls at once, calls from a group, and an orderly end.

use callgate_client::{Code, Group};
use serde_json::{Value, json};

use crate::scene::Scene;

#[test]
fn calls_that_come_faster_than_they_are_done_are_done_or_overloaded() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let kv = plugin.gate("data.kv");
    let value = "\u{1F600}".repeat(60_000);
    let sent = (0..100).map(|n| {
        let set = json!({"method": "set", "key": format!("k{}", n % 20), "value": value});
        kv.send_values(&[set]).expect("it is sent")
    });
    let sent: Vec<_> = sent.collect();
    let mut done = 0;
    for call in sent {
        match call.wait_value() {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.code(), Code::Overloaded, "{error:?}"),
        }
    }
    assert!(done >= 15, "{done}");
    assert_eq!(plugin.get("k0"), value);
}

/// Calls that are done no longer count as waiting, so new ones are accepted.
#[test]
fn calls_that_were_done_make_room_for_others() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let kv = plugin.gate("data.kv");
    let get = json!({"method": "get", "key": "x".repeat(500)});
    for _ in 0..1_100 {
        assert_eq!(
            kv.call_values(std::slice::from_ref(&get)).expect("a value"),
            Value::Null
        );
    }
}

#[test]
fn the_services_may_share_the_threads_of_a_group() {
    let mut scene = Scene::new();
    scene.services = None;
    let group = Group::new().expect("a group");
    scene.services = Some(scene.builder().group(&group).start().expect("services"));
    let plugin = scene.member_of(&group, "chat");
    plugin.set("a", &json!(1));
    assert_eq!(plugin.get("a"), 1);
}

#[test]
fn calls_of_services_that_have_ended_fail_at_once() {
    let mut scene = Scene::new();
    let plugin = scene.member("chat");
    let kv = plugin.gate("data.kv");
    let sent: Vec<_> = (0..32)
        .map(|n| {
            let set = json!({"method": "set", "key": format!("k{n}"), "value": n});
            kv.send_values(&[set]).expect("it is sent")
        })
        .collect();
    scene.services = None;
    for call in sent {
        if let Err(error) = call.wait_value() {
            let code = error.code();
            let is_end = matches!(code, Code::NotReady | Code::ProviderGone);
            assert!(is_end, "{error:?}");
        }
    }
    let error = kv.call_values(&[json!({"method": "get", "key": "a"})]);
    assert_eq!(error.expect_err("nobody is there").code(), Code::NotReady);
}
