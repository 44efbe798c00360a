//! `callgate call`, and `callgate ls gates --schema`

use std::fs;
use std::io::Write;
use std::process::Stdio;

use callgate_client::{Context, HandlerError, gate_type};
use callgate_tests::{Bus, Process, programs};
use serde_json::{Value, json};

use crate::support::{Outcome, command, finish, run};

fn call(bus: &Bus, arguments: &[&str]) -> Outcome {
    run(&bus.socket(), &[&["call"], arguments].concat())
}

#[track_caller]
fn result(bus: &Bus, arguments: &[&str]) -> Value {
    let outcome = call(bus, arguments);
    let ended = (outcome.exit, &*outcome.stderr);
    assert_eq!(ended, (Some(0), ""), "{outcome:?}");
    outcome.json()
}

/// Typed gates can be called with JSON from the command line, without writing a program.
#[test]
fn typed_gates_are_called_with_json() {
    let bus = Bus::start(programs!());
    let _typed = bus.peer("types", "S", &["thread"]);
    let track = r#"{"title":"Ouverture","gain":0.5,"samples":[1,2,3],"colour":"red"}"#;
    let summary = json!({ "title": "Ouverture", "total": 6, "count": 3 });
    assert_eq!(result(&bus, &["S.Sum", track]), summary);
    assert_eq!(
        result(&bus, &["S.Sum", "--args", &format!("[{track}]")]),
        summary
    );
    assert_eq!(result(&bus, &["S.Sum", track, "--json"]), summary);
    assert_eq!(result(&bus, &["S.View", track, "2"]), json!("Ouverture 6"));
    assert_eq!(result(&bus, &["S.Maybe", "-5"]), Value::Null);
    assert_eq!(result(&bus, &["S.Maybe", "5"]), json!(5));
    let done = call(&bus, &["--timeout", "5s", "S.Note", "7", "--action"]);
    assert_eq!((done.exit, &*done.stdout, &*done.stderr), (Some(0), "", ""));
}

#[test]
fn parameters_come_from_files_and_standard_input() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    assert_eq!(echo.expect_line(), "echoing at Demo.Echo");
    let file = bus.directory().join("value.json");
    fs::write(&file, "{\n\t\"a\": [1,\n 2]\n}\n").unwrap();
    let from_file = format!("@{}", file.display());
    let mut command = command(
        &bus.socket(),
        &["call", "Demo.Echo", "-", &from_file, "1.50"],
    );
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b" \"from\\u001b there\" ").unwrap();
    drop(input);
    let outcome = finish(child);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    assert_eq!(
        outcome.json(),
        json!(["from\u{1b} there", { "a": [1, 2] }, 1.5])
    );
    assert!(
        outcome.stdout.contains("1.50"),
        "as it was written: {outcome:?}"
    );
    let outcome = call(&bus, &["Demo.Echo", "@/nowhere/value.json"]);
    assert_eq!(outcome.exit, Some(1));
    assert!(
        outcome.stderr.contains("/nowhere/value.json"),
        "{outcome:?}"
    );
}

/// A failure says what is wrong, and has the exit code that other commands have.
#[test]
fn what_fails_says_so() {
    let bus = Bus::start(programs!());
    let _typed = bus.peer("types", "S", &["thread"]);
    let failed = |arguments: &[&str], exit, code: &str| {
        let outcome = call(&bus, arguments);
        outcome.assert_failed(exit, code);
        call(&bus, &[arguments, &["--json"]].concat()).assert_failed_in_json(exit, code);
        outcome.stderr
    };
    let text = failed(&["S.Wide", "hello"], 2, "INVALID_ARGUMENT");
    assert!(
        text.contains("parameter 1") && text.contains("'\"text\"'"),
        "{text}"
    );
    failed(&["S.Wide", "--args", "7"], 2, "INVALID_ARGUMENT");
    failed(&["S.Wide", "--args", "[7"], 2, "INVALID_ARGUMENT");
    failed(&["Bad\nName", "1"], 2, "INVALID_ARGUMENT");
    failed(&["S.Wide"], 1, "LENGTH_MISMATCH");
    failed(&["S.Wide", "1", "2"], 1, "LENGTH_MISMATCH");
    let text = failed(&["S.Wide", "-1"], 1, "TYPE_MISMATCH");
    assert!(
        text.contains("arguments[0]: expected u32, found -1"),
        "{text}"
    );
    failed(&["S.Wide", "null"], 1, "VALUE_NULL");
    failed(&["S.Fail", "1"], 1, "HANDLER_ERROR");
    failed(&["S.Later", "1"], 1, "TYPE_MISMATCH");
    failed(&["S.Wait", "1", "--timeout", "100ms"], 1, "TIMEOUT");
    failed(&["No.Such", "--timeout", "50ms"], 1, "NOT_READY");
    failed(&["S.Note", "1", "--timeout", "100ms"], 1, "NOT_READY");
    let outcome = call(&bus, &["S.Wide", "1", "--args", "[1]"]);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
}

/// A result is printed as one line, without characters that a terminal obeys.
#[test]
fn a_result_is_one_line_that_a_terminal_does_not_obey() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("P");
    let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}b\n";
    let _gate = plugin.provide("P.Text", |_: Context<'_>| -> Result<String, HandlerError> {
        Ok("a\u{1b}[2J\u{7f}\u{9b}\u{202e}b\n".to_owned())
    });
    let outcome = call(&bus, &["P.Text"]);
    assert_eq!(outcome.json(), json!(text));
    let line = outcome.stdout.trim_end();
    assert!(
        !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{line:?}"
    );
}

#[gate_type]
#[derive(Clone)]
struct Note {
    text: String,
    level: Option<u8>,
}

/// The JSON schema of a gate is printed, so that nobody has to read its source.
#[test]
fn a_gate_s_json_schema_is_printed() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("P");
    let _both = plugin.provide("P.Both", |note: Note, _: u32| note);
    let _action = plugin.provide_action("P.Do", |_: Note| ());
    let exact = bus.builder("E").exact_only().connect().unwrap();
    let _exact = exact.provide("E.Exact", |n: u8| n);
    let schema = |gate: &str| {
        let outcome = run(&bus.socket(), &["ls", "gates", "--schema", gate]);
        assert_eq!(
            (outcome.exit, &*outcome.stderr),
            (Some(0), ""),
            "{outcome:?}"
        );
        let schema: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let short = run(&bus.socket(), &["ls", "--schema", gate, "--json"]).json();
        assert_eq!(schema, short);
        schema
    };
    let both = schema("P.Both");
    assert_eq!(both["title"], "(Note, u32) -> Note");
    assert_eq!(
        both["properties"]["arguments"]["prefixItems"][1]["maximum"],
        u32::MAX
    );
    assert!(
        both["$defs"]["Note"]["properties"]["text"].is_object(),
        "{both}"
    );
    assert_eq!(schema("P.Do")["title"], "(Note)");
    assert_eq!(schema("E.Exact")["title"], "(u8) -> u8");
    let none = run(&bus.socket(), &["ls", "--schema", "No.Such"]);
    none.assert_failed(1, "NOT_READY");
}

/// The listing shows how a gate takes calls, and which calls are converted.
#[test]
fn listings_show_prefixes_encodings_and_conversions() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "echoes."]));
    assert_eq!(echo.expect_line(), "echoing at echoes.");
    let _typed = bus.peer("types", "S", &["thread"]);
    assert_eq!(result(&bus, &["echoes.here", "[1]", "2"]), json!([[1], 2]));
    assert_eq!(result(&bus, &["echoes.there"]), json!([]));
    assert_eq!(result(&bus, &["S.Wide", "1"]), json!(1));
    let table = run(&bus.socket(), &["ls", "gates"]).stdout;
    let line = |start: &str| {
        let mut lines = table.lines().map(str::trim_start);
        let found = lines.find(|line| line.starts_with(start));
        let found = found.unwrap_or_else(|| panic!("{start} is missing in {table}"));
        Vec::from_iter(
            found
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty()),
        )
    };
    let heads = line("name");
    assert!(
        heads.contains(&"encodings") && heads.contains(&"json calls"),
        "{heads:?}"
    );
    assert!(heads.contains(&"json fallbacks"), "{heads:?}");
    let echoes = line("echoes.*");
    assert!(
        echoes.contains(&"(..) -> any") && echoes.contains(&"json"),
        "{echoes:?}"
    );
    let wide = line("S.Wide");
    assert!(wide.contains(&"archive+json"), "{wide:?}");
    let document = run(&bus.socket(), &["ls", "gates", "--json"]).json();
    let gate = |name: &str| {
        let all = document.as_array().unwrap();
        all.iter()
            .find(|gate| gate["name"] == name)
            .unwrap()
            .clone()
    };
    let (echoes, wide) = (gate("echoes."), gate("S.Wide"));
    assert_eq!(
        (&echoes["prefix"], &wide["prefix"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&echoes["calls"], &echoes["json_calls"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(wide["json_calls"], 1);
}
