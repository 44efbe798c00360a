//! `callgate logs`

use callgate_tests::Process;
use serde_json::{Value, json};

use crate::plugins::{READY, Scene, await_that, lines};
use crate::support::run;

/// Only what plugins have written, without times and names.
fn texts(stdout: &str) -> Vec<&str> {
    let text = |line: &'_ str| -> Option<usize> { line.find(": ") };
    let all = stdout
        .lines()
        .filter_map(|line| text(line).map(|at| (line, at)));
    all.filter(|(line, _)| !line.contains(" runtime: "))
        .map(|(line, at)| &line[at + 2..])
        .collect()
}

/// Waits until the log of a plugin contains this text.
#[track_caller]
fn told(scene: &Scene, name: &str, text: &str) -> String {
    await_that(text, || {
        let stdout = run(&scene.socket(), &["logs", name]).stdout;
        stdout.contains(text).then_some(stdout)
    })
}

/// What plugins write is printed.
#[test]
fn what_plugins_write_is_printed() {
    let scene = Scene::new();
    scene.plugin(
        "clock",
        &[
            "log tick",
            "errlog the spring is weak",
            r"raw a\x1b[31mred\n",
            READY,
            "idle",
        ],
    );
    scene.plugin("other", &["log something else", READY, "idle"]);
    let _broker = scene.run(&[]);
    told(&scene, "other", "something else");
    let stdout = told(&scene, "clock", "red");
    let mut wrote = texts(&stdout);
    wrote.sort_unstable();
    assert_eq!(
        wrote,
        ["a\\u{1b}[31mred", "the spring is weak", "tick"],
        "{stdout}"
    );
    assert!(stdout.contains(" clock stdout: tick"), "{stdout}");
    assert!(stdout.contains(" clock stderr: the spring"), "{stdout}");
    assert!(
        stdout.contains(" clock runtime: started as process "),
        "{stdout}"
    );
    // The last lines of one plugin, and of all.
    let two = run(&scene.socket(), &["logs", "clock", "-n", "2"]).stdout;
    assert_eq!(
        two.lines().collect::<Vec<_>>(),
        stdout
            .lines()
            .rev()
            .take(2)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    let all = run(&scene.socket(), &["logs"]).stdout;
    assert!(
        all.contains("clock stdout: tick") && all.contains("other stdout: something else"),
        "{all}"
    );
}

#[test]
fn programs_get_an_object_a_line() {
    let scene = Scene::new();
    let long = "log ${x:70000}";
    scene.plugin("clock", &["log tick", long, READY, "idle"]);
    let _broker = scene.run(&[]);
    scene.reach("clock", "ready");
    // More than a pipe holds that nobody reads.
    let output = || scene.command(&["logs", "clock", "--json"]).output();
    let lines = await_that("both lines", || {
        let stdout = String::from_utf8(output().expect("it runs").stdout).expect("a text");
        stdout.contains("xxx").then_some(stdout)
    });
    let lines = lines.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().expect("JSON");
    let tick = lines
        .iter()
        .find(|line| line["text"] == "tick")
        .expect("the line");
    assert_eq!(
        (&tick["plugin"], &tick["stream"], &tick["is_cut"]),
        (&"clock".into(), &"stdout".into(), &false.into())
    );
    assert!(
        tick["number"].is_u64() && tick["at_ms"].as_u64() > Some(1_700_000_000_000),
        "{tick}"
    );
    let cut = lines
        .iter()
        .find(|line| line["is_cut"] == true)
        .expect("the long one");
    assert_eq!(cut["text"].as_str().map(str::len), Some(65_536));
}

/// With `--follow` each line is printed once, including those written while the command begins.
#[test]
fn what_is_written_from_now_on_follows_and_no_line_is_missing_or_there_twice() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "@ticks", "log the last one", "idle"]);
    std::fs::write(
        scene.folder("clock").join("ticks"),
        "log tick\nsleep 1\n".repeat(1500),
    )
    .expect("it is written");
    scene.plugin("other", &[READY, "repeat 50 log noise", "idle"]);
    let _broker = scene.run(&[]);
    // The commands begin while the plugin writes.
    let arguments: [&[&str]; 2] = [&["logs", "-f"], &["logs", "clock", "--follow"]];
    let all = arguments.iter().cycle().take(8);
    let followers: Vec<Process> = all
        .map(|arguments| {
            let arguments = [arguments, &["--json"][..]].concat();
            Process::spawn(scene.command(&arguments))
        })
        .collect();
    for mut follower in followers {
        let mut numbers = Vec::new();
        loop {
            let line = follower.expect_line();
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(line.get("notice"), None, "{line}");
            if line["plugin"] == "clock" {
                numbers.push(line["number"].as_u64().expect("a number"));
                if line["text"] == "the last one" {
                    break;
                }
            }
        }
        let expected = numbers[0]..=numbers[0] + numbers.len() as u64 - 1;
        assert_eq!(numbers, expected.collect::<Vec<_>>());
        assert!(numbers.len() > 2);
    }
}

#[test]
fn following_ends_with_its_time_and_outlives_the_runtime() {
    let scene = Scene::new();
    scene.plugin("clock", &["log tick", READY, "append started x", "idle"]);
    let broker = scene.run(&[]);
    scene.reach("clock", "ready");
    let outcome = run(
        &scene.socket(),
        &["logs", "clock", "-f", "--timeout", "300ms"],
    );
    assert_eq!(
        (outcome.exit, &*outcome.stderr),
        (Some(0), ""),
        "{outcome:?}"
    );
    assert_eq!(texts(&outcome.stdout), ["tick"]);

    let mut follower = Process::spawn(scene.command(&["logs", "clock", "-f"]));
    while !follower.expect_line().contains("tick") {}
    broker.kill();
    let _again = scene.run(&[]);
    lines(&scene.folder("clock").join("started"), 2);
    let before = json!(run(&scene.socket(), &["logs", "clock"]).stdout);
    assert!(before.as_str().unwrap().contains("tick"));
    // The command comes back some time after the broker, and prints what is written from then on.
    await_that("it hears the next runtime", || {
        run(&scene.socket(), &["restart", "clock"]);
        follower.line(std::time::Duration::from_millis(100)).ok()
    });
}
