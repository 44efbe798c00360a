//! `callgate ls topics`

use callgate_client::TopicOptions;
use callgate_tests::{Bus, PATIENCE, programs};
use serde_json::{Value, json};

use crate::support::run;

/// The JSON keeps its keys, which programs read, and each topic shows its own listeners and their positions.
#[test]
fn topics_are_listed_with_who_hears_them_and_how_far_each_is() {
    let bus = Bus::start(programs!());
    let (sender, quick, slow) = (
        bus.plugin("Sender"),
        bus.plugin("Quick"),
        bus.plugin("Slow"),
    );
    let options = TopicOptions::new().capacity(128 << 10).history(2);
    let topic = sender.topic_with::<(u64,)>("S.Changed", options).unwrap();
    let _open = sender.open_topic::<(String,)>("S.Open").unwrap();
    let _quick = quick.subscribe("S.Changed", |_: u64| {}).unwrap();
    let mut events = slow.events::<(u64,)>("S.*").unwrap();
    for n in 0..5 {
        topic.send(&(n,)).unwrap();
    }
    let taken = std::iter::repeat_with(|| events.next(PATIENCE).unwrap().unwrap());
    assert_eq!(taken.filter_map(|taken| taken.event()).take(2).count(), 2);
    // A flush does not wait for listeners that pull.
    let _ = topic.flush(std::time::Duration::ZERO);
    let mut list = Value::Null;
    callgate_tests::shorthand::await_that("the quick one is done", || {
        list = run(&bus.socket(), &["ls", "topics", "--json"]).json();
        list[0]["subscribers"][0]["lag"] == 0
    });
    let expected = json!({
        "gate": "S.Changed", "sender": "Sender", "open": false, "signature": "(u64)",
        "head": 5, "capacity_bytes": 131_072, "history": 2, "json_twin": false, "lost": 0,
        "subscribers": [
            { "plugin": "Quick", "lag": 0, "evictions": 0, "lost": 0 },
            { "plugin": "Slow", "lag": 3, "evictions": 0, "lost": 0 },
        ],
    });
    assert_eq!(list[0], expected);
    assert_eq!(
        (&list[1]["gate"], &list[1]["open"], &list[1]["head"]),
        (&json!("S.Open"), &json!(true), &json!(0))
    );
    assert_eq!(list.as_array().map(Vec::len), Some(2));

    let table = run(&bus.socket(), &["ls", "topics"]).stdout;
    let line = table.lines().find(|line| line.contains("S.Changed"));
    let line = line.unwrap_or_else(|| panic!("it is missing in {table}"));
    for part in [
        "Sender",
        "131072",
        "Quick (lag 0, evictions 0, lost 0), Slow (lag 3, evictions 0, lost 0)",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
}

/// The listing shows that a listener was too slow and lost events.
#[test]
fn losses_are_listed() {
    let bus = Bus::start(programs!());
    let (sender, slow) = (bus.plugin("Sender"), bus.plugin("Slow"));
    let options = TopicOptions::new().capacity(64 << 10).drop_oldest();
    let topic = sender
        .topic_with::<(u64, [u64; 16])>("S.Changed", options)
        .unwrap();
    let mut events = slow.events::<(u64, [u64; 16])>("S.Changed").unwrap();
    for n in 0..1000 {
        topic.send(&(n, [n; 16])).unwrap();
    }
    let all = events.drain(usize::MAX).unwrap();
    let taken = all.into_iter().filter_map(|taken| taken.event()).count();
    assert!(taken > 0 && taken < 1000, "{taken}");
    let list = run(&bus.socket(), &["ls", "topics", "--json"]).json();
    let lost = 1000 - taken;
    assert_eq!(
        (&list[0]["head"], &list[0]["lost"]),
        (&json!(1000), &json!(lost))
    );
    let subscriber = &list[0]["subscribers"][0];
    assert_eq!(subscriber["lost"], lost, "{subscriber}");
    assert!(subscriber["evictions"].as_u64() >= Some(1), "{subscriber}");
    assert_eq!(subscriber["lag"], 0, "{subscriber}");
}
