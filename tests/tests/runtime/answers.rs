//! Answers that nobody asked for.

use callgate_tests::shorthand::await_that;
use serde_json::{Value, json};

use crate::attack::Attack;
use crate::scene::open;

#[test]
fn answers_under_ids_that_nobody_gave() {
    let mut attack = Attack::begin("forges-ids");
    attack.go();
    // The ids that it makes up are next to those of the calm plugin's calls.
    attack.calm_is_served("forges ids");
    let stray = attack.culprit()["stray"].as_u64().unwrap();
    println!("{stray} stray answers were counted");
    assert!(stray > 1000, "{stray}");
}

#[test]
fn each_answer_twice() {
    let mut attack = Attack::begin("answers-twice");
    for _ in 0..100 {
        assert_eq!(attack.ask(&json!({})).unwrap(), "first");
    }
    attack.calm_is_served("answers twice");
    assert_eq!(attack.culprit()["stray"], 100);
}

#[test]
fn answers_to_the_requests_of_others() {
    let others = [("victim", "keeps-requests")];
    let mut attack = Attack::with("answers-others", &json!({}), &others);
    let victim = open(&attack.member, "victim.keep");
    let asked = victim.send(b"[]").unwrap();
    let kept = attack.scene.plugins().join("victim/kept");
    await_that("its id is known", || kept.exists());
    let id: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    let done = attack.ask(&json!({"ids": [id, id]})).unwrap();
    assert_eq!(done, "done");
    assert_eq!(victim.call_values(&[]).unwrap(), "released");
    assert_eq!(asked.wait_value().unwrap(), "mine");
    attack.calm_is_served("answers others' requests");
    assert_eq!(attack.culprit()["stray"], 2);
    assert_eq!(attack.scene.status_of("victim")["stray"], 0);
}
