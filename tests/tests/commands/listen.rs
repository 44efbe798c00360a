//! `callgate listen`

mod restarts;

use std::io::Read;

use callgate_client::TopicOptions;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{command, finish, run, start};

const TOPIC: &str = "Weather.Changed";

/// `callgate listen --json`, which has printed that it listens.
struct Listener(Process);

impl Listener {
    fn start(bus: &Bus, topic: &str, more: &[&str]) -> Listener {
        let arguments = [&["listen", topic, "--json"], more].concat();
        let mut listener = Listener(Process::spawn(bus.command(&arguments)));
        let first = listener.line();
        assert_eq!(first, json!({ "notice": "listening", "topic": topic }));
        listener
    }

    fn line(&mut self) -> Value {
        let line = self.0.expect_line();
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"))
    }

    /// The next notice of this kind. Events and other notices before it are skipped.
    fn notice(&mut self, kind: &str) -> Value {
        loop {
            let line = self.line();
            if line["notice"] == kind {
                return line;
            }
        }
    }

    /// The next event. Notices before it are skipped.
    fn event(&mut self) -> Value {
        loop {
            let line = self.line();
            if line.get("notice").is_none() {
                return line;
            }
        }
    }

    fn values(&mut self) -> Value {
        self.event()["values"].take()
    }
}

/// The standard output has only arrays, one per event, so that programs can read it. The command ends after so many
/// events.
#[test]
fn it_prints_events_and_ends_after_the_last_that_was_asked_for() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Weather");
    let topic = plugin.topic::<(u32, String)>(TOPIC).unwrap();
    let listen = start(command(&bus.socket(), &["listen", TOPIC, "--count", "3"]));
    await_that("it listens", || topic.subscription_count() == 1);
    for n in 0..5 {
        topic.send(&(n, format!("{n}\n°"))).unwrap();
    }
    let outcome = finish(listen);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert_eq!(
        outcome.stdout,
        "[0,\"0\\n°\"]\n[1,\"1\\n°\"]\n[2,\"2\\n°\"]\n"
    );
    assert!(
        outcome
            .stderr
            .starts_with(&format!("listening to {TOPIC}\n")),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("Weather"), "{outcome:?}");
}

/// The JSON objects keep their keys, which programs read.
#[test]
fn the_objects_have_their_keys() {
    let bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, TOPIC, &["--count", "2"]);
    let plugin = bus.plugin("Weather");
    let topic = plugin.topic::<(u32, f64)>(TOPIC).unwrap();
    assert_eq!(
        listener.line(),
        json!({ "notice": "here", "topic": TOPIC, "sender": "Weather" })
    );
    for n in 0..2 {
        topic.send(&(7, 1.5)).unwrap();
        let mut event = listener.line();
        let time = event["time"].take();
        let time = time.as_str().expect("a text");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let expected = json!({
            "topic": TOPIC, "sender": "Weather", "number": n, "time": null, "values": [7, 1.5]
        });
        assert_eq!(event, expected);
    }
    assert_eq!(listener.0.wait().code(), Some(0));
}

/// Numbers are printed as they were sent, also those that do not fit a double.
#[test]
fn values_are_printed_as_they_were_sent() {
    let bus = Bus::start(programs!());
    let listen = start(command(&bus.socket(), &["listen", "A.B", "--count", "1"]));
    let emit = [
        "emit",
        "A.B",
        "123456789012345678901234567890",
        r#"{"b": 1.50, "a": "\u001b[2J"}"#,
    ];
    // Only a sender can see whether the command listens.
    await_that("it listens", || {
        let outcome = run(&bus.socket(), &emit);
        outcome.stdout == "1 listener has it\n"
    });
    let outcome = finish(listen);
    assert_eq!(
        outcome.stdout,
        "[123456789012345678901234567890,{\"b\": 1.50, \"a\": \"\\u001b[2J\"}]\n"
    );
}

/// The command fails if its time passes before an event, so that a script notices.
#[test]
fn it_is_a_failure_when_the_time_passes_first() {
    let bus = Bus::start(programs!());
    let listen = ["listen", TOPIC, "--timeout", "200ms"];
    let outcome = run(&bus.socket(), &listen);
    assert_eq!((outcome.exit, &*outcome.stdout), (Some(1), ""));
    assert!(outcome.stderr.contains("TIMEOUT: 0 events"), "{outcome:?}");
    let more = ["--count", "2", "--json"];
    let outcome = run(&bus.socket(), &[&listen[..], &more].concat());
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    let last = outcome.stdout.lines().last().expect("a line");
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["code"], "TIMEOUT");
    assert_eq!(last["error"]["message"], "0 of 2 events came in time");
}

/// A pattern covers all topics under its prefix, including later ones, and no others.
#[test]
fn a_pattern_is_all_topics_under_it() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Weather");
    let early = plugin.topic::<(u32,)>("Weather.Wind").unwrap();
    let mut listener = Listener::start(&bus, "Weather.*", &[]);
    let late = plugin.topic::<(String,)>("Weather.Rain").unwrap();
    let other = plugin.topic::<(u32,)>("Weathers.All").unwrap();
    other.send(&(1,)).unwrap();
    early.send(&(2,)).unwrap();
    let event = listener.event();
    assert_eq!(
        (&event["topic"], &event["values"]),
        (&json!("Weather.Wind"), &json!([2]))
    );
    late.send(&("much".to_owned(),)).unwrap();
    let event = listener.event();
    assert_eq!(
        (&event["topic"], &event["values"]),
        (&json!("Weather.Rain"), &json!(["much"]))
    );
}

/// A pattern without its dot is wrong usage: `weather*` is meant as a prefix, and no topic will ever have that name.
#[test]
fn a_pattern_without_its_dot_is_wrong_usage() {
    let bus = Bus::start(programs!());
    for topic in ["Weather*", "*"] {
        let outcome = run(&bus.socket(), &["listen", topic]);
        outcome.assert_failed(2, "INVALID_ARGUMENT");
    }
}

/// Lost events are counted and reported.
#[test]
fn events_that_were_lost_are_counted() {
    const ALL: u64 = 20_000;
    let bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, TOPIC, &[]);
    let plugin = bus.plugin("Weather");
    let options = TopicOptions::new().capacity(64 << 10).drop_oldest();
    let topic = plugin.topic_with::<(u64, [u64; 8])>(TOPIC, options);
    let topic = topic.unwrap();
    listener.0.stop();
    for n in 0..ALL {
        topic.send(&(n, [n; 8])).unwrap();
    }
    listener.0.signal(Signal::SIGCONT);
    let (mut events, mut lost) = (0, 0);
    while events + lost < ALL {
        let line = listener.line();
        match line["notice"].as_str() {
            None => {
                assert_eq!(line["values"][0], events + lost);
                events += 1;
            }
            Some("lost") => lost += line["count"].as_u64().expect("a number"),
            Some(_) => {}
        }
    }
    assert_eq!(events + lost, ALL);
    assert!(lost > 0 && events > 0, "{lost} lost of {ALL}");
}

/// If a sender's events cannot be printed as JSON, the command says so.
#[test]
fn events_that_have_no_json_are_told_of() {
    let bus = Bus::start(programs!());
    let mut listener = Listener::start(&bus, "Weather.*", &[]);
    let plugin = bus.plugin("Weather");
    let topic = plugin.topic::<(f64,)>("Weather.Wind").unwrap();
    topic.send(&(f64::NAN,)).unwrap();
    let notice = listener.notice("unwritable");
    assert_eq!(notice["event"]["number"], 0, "{notice}");
    topic.send(&(1.0,)).unwrap();
    assert_eq!(listener.values(), json!([1.0]));
    let exact = bus.builder("Exact").exact_only().connect().unwrap();
    let _topic = exact.topic::<(f64,)>("Weather.Exact").unwrap();
    let notice = listener.notice("unfit");
    assert_eq!(
        (&notice["sender"], &notice["topic"]),
        (&json!("Exact"), &json!("Weather.Exact"))
    );
}

/// Names and texts of senders are printed without characters that a terminal obeys.
#[test]
fn what_senders_say_is_shown_and_not_obeyed() {
    let bus = Bus::start(programs!());
    let name = "W\u{202e}x";
    let topic = "Weather.\u{202e}";
    let plugin = bus.plugin(name);
    for more in [&[][..], &["--json"]] {
        let listen = ["listen", "Weather.*", "--count", "1"];
        let listen = start(command(&bus.socket(), &[&listen, more].concat()));
        let topic = plugin.topic::<(String,)>(topic).unwrap();
        await_that("it listens", || topic.subscription_count() == 1);
        topic.send(&("\u{9b}31m\u{1b}[2J".to_owned(),)).unwrap();
        let outcome = finish(listen);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{text:?}");
        }
        assert!(outcome.stdout.contains(r"\u009b31m"), "{outcome:?}");
    }
}

/// The command ends when nobody reads its output any more, as with `callgate listen … | head -1`.
#[test]
fn it_ends_when_nobody_reads_it_any_more() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Weather");
    let topic = plugin.topic::<(u32,)>(TOPIC).unwrap();
    let mut listen = start(command(&bus.socket(), &["listen", TOPIC]));
    await_that("it listens", || topic.subscription_count() == 1);
    topic.send(&(1,)).unwrap();
    let mut out = listen.stdout.take().expect("a pipe");
    let mut first = [0; 4];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"[1]\n");
    drop(out);
    topic.send(&(2,)).unwrap();
    let outcome = finish(listen);
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    topic.flush(PATIENCE).unwrap();
}
