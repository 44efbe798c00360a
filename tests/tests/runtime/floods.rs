//! More than anybody can take: frames, log lines, events, and requests that are not read.

use std::time::Duration;

use callgate_client::Code;
use serde_json::json;

use crate::attack::Attack;
use crate::scene::is_expected;

#[test]
fn frames_without_end() {
    let mut attack = Attack::begin("floods-frames");
    attack.go();
    attack.calm_is_served("floods frames");
    let frames = attack.culprit()["frames"].as_u64().unwrap();
    println!("{frames} frames were read");
    assert!(frames > 1000, "{frames}");
    assert!(attack.culprit()["pauses"].as_u64().unwrap() > 0);
    let (own, _) = attack.log();
    let text = |line: &serde_json::Value| line["begin"].as_str().unwrap_or("").to_owned();
    let named = own.iter().any(|line| text(line).contains("not read from"));
    assert!(named, "{own:?}");
}

/// More events than an honest plugin can send: they are still read, within the plugin's share of the time.
#[test]
fn events_without_end() {
    let more = json!({"runtime_capabilities": ["events.publish:chaos.*"]});
    let mut attack = Attack::with("floods-events", &more, &[]);
    attack.go();
    attack.calm_is_served("floods events");
    let culprit = attack.culprit();
    println!("{} events were sent", culprit["published"]);
    assert!(culprit["published"].as_u64().unwrap() > 100, "{culprit}");
    assert_eq!(culprit["restarts"], 0);
}

#[test]
fn a_log_without_line_breaks() {
    let mut attack = Attack::begin("floods-log");
    attack.go();
    attack.calm_is_served("floods its log");
    let (_, lines) = attack.log();
    let last = lines.last().expect("lines");
    assert_eq!(
        (&last["length"], &last["is_cut"]),
        (&json!(65536), &json!(true))
    );
}

#[test]
fn a_line_without_end() {
    let mut attack = Attack::begin("floods-line");
    attack.go();
    attack.calm_is_served("a line without end");
    attack.restarted_for("FRAME_TOO_LARGE");
}

#[test]
fn log_lines_of_4_mib() {
    let mut attack = Attack::begin("large-lines");
    attack.go();
    attack.calm_is_served("log lines of 4 MiB");
    let (_, lines) = attack.log();
    assert!(lines.iter().any(|line| line["is_cut"] == true));
    assert_eq!(attack.culprit()["restarts"], 0, "they are allowed");
}

#[test]
fn frames_of_4_mib() {
    let mut attack = Attack::begin("large-frames");
    attack.go();
    attack.calm_is_served("frames of 4 MiB");
    let culprit = attack.culprit();
    println!("{} frames were read", culprit["frames"]);
    assert_eq!(culprit["restarts"], 0, "they are allowed");
    assert!(culprit["frames"].as_u64().unwrap() > 1, "{culprit}");
}

/// The requests for a plugin that does not read are bounded, and nobody waits for it.
#[test]
fn one_that_does_not_read_while_it_is_called() {
    let mut attack = Attack::begin("never-reads");
    attack.go();
    let large = format!(r#"[{{"text":"{}"}}]"#, "x".repeat(1 << 20));
    let refused = (0..100).find_map(|_| {
        let sent = attack.culprit.send(large.as_bytes()).expect("it is sent");
        let gate = attack.culprit.with_timeout(Duration::from_millis(200));
        attack.open.push(sent);
        let outcome = gate.call(large.as_bytes());
        outcome.err().filter(|error| error.code() != Code::Timeout)
    });
    let refused = refused.expect("nobody was refused");
    assert!(
        matches!(refused.code(), Code::Overloaded | Code::ProviderGone),
        "{refused}"
    );
    attack.calm_is_served("does not read");
    attack.restarted_for("HUNG");
    for sent in attack.open.drain(..) {
        let error = sent.wait().expect_err("nobody has answered");
        assert!(is_expected(error.code()), "{error}");
    }
}

/// A million names: the broker does not keep a topic and a subscription for each of them for ever.
#[test]
fn events_on_ever_new_topics() {
    let rights = ["events.publish:chaos.*", "events.subscribe:chaos.*"];
    let more = json!({"runtime_capabilities": rights});
    let mut attack = Attack::with("new-topics", &more, &[]);
    attack.go();
    attack.calm_is_served("ever new topics");
    let culprit = attack.culprit();
    println!(
        "{} frames were read, {} events sent, {} refused without a word",
        culprit["frames"], culprit["published"], culprit["unheard"]
    );
    assert!(culprit["frames"].as_u64().unwrap() > 1000, "{culprit}");
}
