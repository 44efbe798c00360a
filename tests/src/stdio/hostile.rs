//! A plugin on pipes that echoes the parameters of its requests until it is asked to `go`; then it does what its kind
//! names.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use super::pipes::{Pipes, put, respond, say};

/// The most bytes that the line of a frame may have.
const CAP: usize = 4 << 20;

/// Is a plugin of this kind.
pub(super) fn run(kind: &str) {
    if kind == "leftover" {
        return keep_pipes();
    }
    let mut pipes = Pipes::begin();
    if kind == "ignores-sigterm" {
        ignore(Signal::SIGTERM);
    }
    while let Some(request) = pipes.echo() {
        go(kind, &request);
    }
}

/// What each kind does once. Requests that are not answered here stay open.
fn go(kind: &str, request: &Value) {
    let id = &request["id"];
    match kind {
        "floods-frames" => endless(|n| say(&json!({"type": "pong", "nonce": n}))),
        "floods-log" => endless(|_| put_log(&[b'x'; 8192])),
        "floods-events" => floods_events(),
        "floods-line" => endless(|_| put(&[b'x'; 8192])),
        "large-lines" => large_lines(),
        "large-frames" => large_frames(),
        "never-reads" => park(),
        "forges-ids" => endless(|n| forge(id, n)),
        "answers-twice" => {
            respond(id, &json!("first"));
            respond(id, &json!("second"));
        }
        "answers-others" => {
            for stolen in request["params"]["ids"].as_array().into_iter().flatten() {
                respond(stolen, &json!("forged"));
            }
            respond(id, &json!("done"));
        }
        "closes-stdin" => close(0, id),
        "closes-stdout" => close(1, id),
        "closes-stderr" => close(2, id),
        "ignores-sigterm" => respond(id, &json!("done")),
        "leaves-pipes" => leave_pipes(),
        "ends-in-a-frame" => {
            put(format!("IPC:{{\"type\":\"response\",\"id\":{id},\"resu").as_bytes());
            exit(3);
        }
        "new-topics" => endless(new_topic),
        "keeps-requests" => keep(request),
        other => panic!("unknown kind {other}"),
    }
}

/// Repeats an action for ever.
fn endless(mut act: impl FnMut(u64)) {
    let mut turn = 0;
    loop {
        act(turn);
        turn += 1;
    }
}

fn park() {
    loop {
        std::thread::park();
    }
}

fn put_log(bytes: &[u8]) {
    if std::io::stderr().lock().write_all(bytes).is_err() {
        exit(74);
    }
}

/// Events of 64 bytes on one topic.
fn floods_events() {
    let payload = "x".repeat(62);
    endless(|_| say(&json!({"type": "events.publish", "topic": "chaos.one", "payload": payload})));
}

/// Log lines on stdout of the greatest permitted length.
fn large_lines() {
    let mut line = vec![b'x'; CAP];
    line.push(b'\n');
    endless(|_| put(&line));
}

/// Frames of the greatest permitted length.
fn large_frames() {
    let empty = json!({"type": "pong", "fill": ""}).to_string().len();
    let fill = "x".repeat(CAP - empty);
    let line = format!("IPC:{}\n", json!({"type": "pong", "fill": fill}));
    endless(|_| put(line.as_bytes()));
}

/// Answers ids that no request had: those next to a real one, and random ones.
fn forge(id: &Value, n: u64) {
    let given = id.as_str().expect("an id");
    let last = u16::from_str_radix(&given[32..], 16).expect("digits");
    let near = format!(
        "{}{:04x}",
        &given[..32],
        last.wrapping_add(1 + (n % 4096) as u16)
    );
    let any = format!("{n:08x}-0000-4000-8000-{n:012x}");
    for id in [near, any] {
        respond(&json!(id), &json!("forged"));
    }
}

/// Closes one of its pipes, and continues without it.
fn close(number: i32, id: &Value) {
    respond(id, &json!("done"));
    nix::unistd::close(number).expect("it was open");
    if number == 0 {
        // Otherwise the process would end when its input ends.
        park();
    }
}

fn ignore(signal: Signal) {
    let mut set = SigSet::empty();
    set.add(signal);
    set.thread_block().expect("blocking a signal");
}

/// Starts a process of another group that holds the pipes, and ends.
fn leave_pipes() {
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.args(["stdio-plugin", "leftover"]).process_group(0);
    command.spawn().expect("it starts");
    exit(1);
}

/// Writes until nobody reads any more.
fn keep_pipes() {
    loop {
        put(b"still here\n");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Sends on a topic, and subscribes to another one, that nobody has used before.
fn new_topic(n: u64) {
    say(&json!({"type": "events.publish", "topic": format!("chaos.t{n}"), "payload": n}));
    say(&json!({"type": "events.subscribe", "topic": format!("chaos.s{n}"), "id": n.to_string()}));
}

/// Leaves a request open and writes its id to a file. The next such request answers both.
fn keep(request: &Value) {
    let id = request["id"].to_string();
    match std::fs::read_to_string("kept") {
        Err(_) => {
            std::fs::write("kept.new", &id).expect("writing");
            std::fs::rename("kept.new", "kept").expect("renaming");
        }
        Ok(kept) => {
            let kept: Value = serde_json::from_str(&kept).expect("an id");
            respond(&kept, &json!("mine"));
            respond(&request["id"], &json!("released"));
        }
    }
}
