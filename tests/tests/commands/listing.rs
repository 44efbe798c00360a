//! `callgate ls`

use std::process::Command;
use std::time::Duration;

use callgate::Broker;
use callgate::listing::Transport;
use callgate::supervision::{Restart, State};
use callgate_client::HandlerError;
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::run;

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[track_caller]
fn assert_has(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    let missing: Vec<_> = wanted.iter().filter(|key| !keys.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {value}");
}

fn by_name<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list
        .as_array()
        .expect("a list")
        .iter()
        .find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {list}"))
}

/// The table of gates shows how long calls take. The conformance suite tests the counts in each mode.
#[test]
fn the_table_of_gates_has_their_times() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("suite", "S", &["thread"]);
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "S.Add");
    for n in 0..100 {
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
    }
    let listing = run(&bus.socket(), &["ls", "--json"]).json();
    assert_eq!(by_name(&listing["gates"], "S.Add")["calls"], 100);
    let table = run(&bus.socket(), &["ls", "gates"]).stdout;
    assert!(table.contains("p99 ns"), "{table}");
}

/// A supervised program is listed also while it does not run, with when it will be started again.
#[test]
fn supervised_programs_are_listed_while_they_do_not_run() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("bus");
    let broker = Broker::builder().socket(&socket).start().unwrap();
    let program = || {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "exit 3"]);
        program
    };
    let waits = Restart::default().backoff([Duration::from_secs(600)]);
    let stays = waits.clone().quarantine(1, Duration::from_secs(600));
    let waiting = broker.supervise("waits", program, waits).unwrap();
    let quarantined = broker.supervise("stays", program, stays).unwrap();
    assert!(waiting.wait_for(State::Waiting, PATIENCE));
    assert!(quarantined.wait_for(State::Quarantined, PATIENCE));
    let plugins = run(&socket, &["ls", "plugins", "--json"]).json();
    for (name, state) in [("waits", "backoff"), ("stays", "quarantined")] {
        let plugin = by_name(&plugins, name);
        assert_eq!(
            (&plugin["pid"], &plugin["restarts"]),
            (&Value::Null, &0.into())
        );
        assert_eq!(plugin["transport"], "shm");
        assert_eq!(
            (&plugin["state"], &plugin["last_exit"]),
            (&state.into(), &"code 3".into())
        );
    }
    let next = by_name(&plugins, "waits")["next_try_ms"].as_u64().unwrap();
    assert!((1..=600_000).contains(&next), "{next}");
    assert_eq!(by_name(&plugins, "stays")["next_try_ms"], Value::Null);
    let table = run(&socket, &["ls", "plugins"]).stdout;
    assert!(
        table.contains("backoff") && table.contains("code 3"),
        "{table}"
    );
    // The status that a runtime reports of a stdio plugin.
    let status = waiting.status().with_transport(Transport::Stdio);
    broker.handle().set_status("pipes", Some(status)).unwrap();
    let plugins = run(&socket, &["ls", "plugins", "--json"]).json();
    assert_eq!(by_name(&plugins, "pipes")["transport"], "stdio");
    broker.handle().set_status("pipes", None).unwrap();
    let plugins = run(&socket, &["ls", "plugins", "--json"]).json();
    assert_eq!(plugins.as_array().unwrap().len(), 2, "{plugins}");
}

/// The JSON document keeps its keys, which programs read.
#[test]
fn the_document_has_its_keys() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let panic = open::<(String,), u32>(&caller, "P.Fail");
    for n in 0..10 {
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
    }
    panic.invoke((String::new(),)).unwrap_err();

    let listing = run(&bus.socket(), &["ls", "--json"]).json();
    assert_has(
        &listing,
        &["broker", "plugins", "gates", "shares", "topics", "links"],
    );
    let broker = &listing["broker"];
    assert_has(
        broker,
        &["pid", "version", "socket", "uptime_ms", "generation"],
    );
    assert_eq!(broker["pid"], bus.broker.as_ref().unwrap().id());
    assert_eq!(broker["socket"], &*bus.socket().to_string_lossy());

    let plugins = &listing["plugins"];
    assert_eq!(
        plugins.as_array().unwrap().len(),
        2,
        "the command itself is not listed: {plugins}"
    );
    let plugin = by_name(plugins, "P");
    let wanted = [
        "name",
        "version",
        "pid",
        "transport",
        "state",
        "draining",
        "restarts",
        "last_exit",
        "next_try_ms",
        "calls",
        "errors",
    ];
    assert_has(plugin, &wanted);
    assert_eq!(plugin["pid"], provider.id());
    assert_eq!(
        (&plugin["version"], &plugin["transport"]),
        (&"1.2.3".into(), &"shm".into())
    );
    assert_eq!(
        (&plugin["state"], &plugin["restarts"]),
        (&"ready".into(), &0.into())
    );
    assert_eq!(
        (&plugin["calls"], &plugin["errors"]),
        (&11.into(), &1.into())
    );

    let gate = by_name(&listing["gates"], "P.Add");
    let wanted = [
        "name",
        "owner",
        "signature",
        "fingerprint",
        "has_function",
        "has_action",
        "subscribers",
        "json_fallbacks",
        "calls",
        "errors",
        "p50_ns",
        "p99_ns",
    ];
    assert_has(gate, &wanted);
    assert_eq!((&gate["calls"], &gate["errors"]), (&10.into(), &0.into()));
    assert_eq!(gate["json_fallbacks"], 0);
    assert!(gate["p50_ns"].is_u64() && gate["p99_ns"].is_u64(), "{gate}");
    assert_eq!(
        (&gate["owner"], &gate["signature"]),
        (&"P".into(), &"(u64, u64) -> u64".into())
    );
    assert_eq!(
        (&gate["has_function"], &gate["has_action"]),
        (&true.into(), &false.into())
    );
    assert_eq!(gate["subscribers"], 1);
    assert_eq!(gate["fingerprint"].as_str().unwrap().len(), 32);
    let both = by_name(&listing["gates"], "P.Note");
    assert_eq!(
        (&both["has_function"], &both["has_action"]),
        (&true.into(), &true.into())
    );

    let links = listing["links"].as_array().unwrap();
    assert_eq!(links.len(), 1);
    assert_has(&links[0], &["a", "b", "same_trust_domain", "granted_bytes"]);
    assert_eq!(
        (&links[0]["a"], &links[0]["b"]),
        (&"Caller".into(), &"P".into())
    );
    assert_eq!(links[0]["granted_bytes"], 2 * 86_016);
}

/// One list can be printed alone.
#[test]
fn one_list_can_be_had_alone() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let counts = [
        ("plugins", 1),
        ("gates", 10),
        ("links", 0),
        ("shares", 0),
        ("topics", 0),
    ];
    for (what, least) in counts {
        let list = run(&bus.socket(), &["ls", what, "--json"]).json();
        assert!(
            list.as_array().expect("a list").len() >= least,
            "{what}: {list}"
        );
        let text = run(&bus.socket(), &["ls", what]);
        assert_eq!((text.exit, &*text.stderr), (Some(0), ""), "{text:?}");
        assert!(text.stdout.starts_with(what), "{text:?}");
    }
}

/// People get readable tables, with colours only on a terminal.
#[test]
fn people_get_tables() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let outcome = run(&bus.socket(), &["ls"]);
    assert_eq!(
        (outcome.exit, &*outcome.stderr),
        (Some(0), ""),
        "{outcome:?}"
    );
    let line = |start: &str| {
        let found = outcome
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("{start} is missing in {}", outcome.stdout))
    };
    assert!(line("P ").contains("1.2.3"));
    let broker = bus.broker.as_ref().unwrap().id().to_string();
    let mut broker_line = line(&broker).split_whitespace();
    assert_eq!(broker_line.nth(1), Some("1"), "the first on its socket");
    assert!(line("pid ").contains("generation"));
    assert!(line("P.Add ").contains("(u64, u64) -> u64"));
    assert!(line("links").contains("none"));
    assert!(!outcome.stdout.contains('\u{1b}'));
}

/// Versions and signatures of plugins are printed without the escape sequences in them: these could clear the
/// terminal or write to it.
#[test]
fn what_plugins_say_of_themselves_is_shown_and_not_obeyed() {
    let bus = Bus::start(programs!());
    let hostile = "1\u{1b}[2J\u{7}\u{9b}31m\r\n\u{202e}\u{2066}\u{7f}";
    let name = "P\u{202e}\u{2028}";
    let builder = bus.builder(name).version(hostile).display_name(hostile);
    let plugin = builder.connect().expect("the bus");
    let _gate = plugin.provide(&format!("{name}.G"), |n: u64| n).unwrap();
    let is_plain = |text: &str| {
        let mut characters = text.chars();
        !characters.any(|c| c.is_control() && c != '\n' || "\u{202e}\u{2028}\u{2066}".contains(c))
    };
    let table = run(&bus.socket(), &["ls"]).stdout;
    assert!(is_plain(&table), "{table:?}");
    let line = table.lines().find(|line| line.contains("1\\u{1b}[2J"));
    let line = line.unwrap_or_else(|| panic!("the version is not shown: {table}"));
    assert!(line.contains("\\u{9b}31m\\u{d}\\u{a}\\u{202e}"), "{line}");
    // Programs get the texts unchanged; terminals get no characters that they obey.
    let document = run(&bus.socket(), &["ls", "--json"]);
    assert!(is_plain(&document.stdout), "{:?}", document.stdout);
    let document = document.json();
    assert_eq!(by_name(&document["plugins"], name)["version"], hostile);
}

/// The same for error texts that a plugin has chosen.
#[test]
fn what_a_handler_fails_with_is_shown_and_not_obeyed() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("P");
    let _gate = plugin.provide("P.G", |_: Vec<u8>| -> Result<Vec<u8>, HandlerError> {
        Err(HandlerError::new("NO", "\u{1b}]0;mine\u{7}"))
    });
    let outcome = run(&bus.socket(), &["ping", "P.G", "--count", "1"]);
    assert!(
        outcome.stderr.contains("\\u{1b}]0;mine\\u{7}"),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}
