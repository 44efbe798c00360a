//! The protocol document as tests: stories of children on real pipes, in text files, one subject each.
//!
//! A story begins with `# ` and what it shows. `%` in it stands for the plugin's name; each story has a plugin of its own, and a second one,
//! `%b`, where lines begin with `2`; then they begin when both are ready. The children play scripts (`tests/scripted`), and every line is checked in its turn.
//!
//! | line | |
//! |---|---|
//! | `may CAPABILITY …` | what the manifest allows |
//! | `with JSON` | other keys of the manifest |
//! | `unready` | the child does not say `ready` by itself |
//! | `> FRAME`, `> STEP` | the child writes a frame, or plays a step of a script |
//! | `< FRAME` | the next frame that the child hears has these fields; `"*"` is any value, `null` none |
//! | `<~ FRAME` | the same, of the frames that have its texts; others may come before it |
//! | `<< FRAME` | the same of the next life, which plays the script from its beginning |
//! | `quiet` | nothing else was told to the child: it asks something, and what it hears next is the answer |
//! | `call[@LABEL] [within MS] GATE ARGUMENTS` | the host calls a gate with a JSON array, once it is provided |
//! | `try[@LABEL] GATE ARGUMENTS` | the same, whether it is provided or not |
//! | `as[@LABEL] USER ACTION PARAMS` | the host calls an action in a user's name |
//! | `gets[@LABEL] JSON` | what the call came to; `$/POINTER` in the arguments of calls is a part of the frame that was heard last, `${x:N}` N letters |
//! | `fails[@LABEL] CODE CONTEXT` | the error that it came to |
//! | `held N` | as many calls of `host.hold` wait for an answer |
//! | `free JSON` | answers the first of them, once there is one |
//! | `listen TOPIC`, `heard TOPIC ARGUMENTS` | the host hears events |
//! | `send TOPIC ARGUMENTS` | the host sends an event |
//! | `tells KEY JSON`, `uploads NAME` | the host tells of a setting, of a file |
//! | `is JSON` | how the plugin stands, or comes to stand: `state`, `restarts`, `exit`, `fault`, `why`, `unhealthy` |
//! | `counts JSON` | what was counted of it |
//! | `logs TEXT` | a line of its log has this text in it |
//! | `line JSON` | a line of its log is this one: `stream`, `text`, `is_cut` |
//! | `lines N`, `atmost N` | its log has as many lines; it has no more bytes |
//! | `start`, `stop`, `restart`, `pause`, `resume` | |
#![forbid(unsafe_code)]

mod bus;
mod host;
mod matching;
mod play;
mod story;

use std::time::Duration;

use callgate_runtime::Limits;

/// All stories, by subject.
const STORIES: [(&str, &str); 9] = [
    ("lines", include_str!("lines.txt")),
    ("malformed", include_str!("malformed.txt")),
    ("requests", include_str!("requests.txt")),
    ("services", include_str!("services.txt")),
    ("events", include_str!("events.txt")),
    ("capabilities", include_str!("capabilities.txt")),
    ("lifecycle", include_str!("lifecycle.txt")),
    ("lies", include_str!("lies.txt")),
    ("sessions", include_str!("sessions.txt")),
];

fn play(subject: &str) {
    play_with(subject, Limits::default());
}

fn play_with(subject: &str, limits: Limits) {
    let (_, text) = STORIES
        .iter()
        .find(|(name, _)| *name == subject)
        .expect("a subject");
    play::all(subject, &story::read(subject, text), limits);
}

#[test]
fn lines() {
    play("lines");
}

#[test]
fn malformed() {
    play("malformed");
}

#[test]
fn requests() {
    play("requests");
}

#[test]
fn services() {
    play("services");
}

#[test]
fn events() {
    play("events");
}

#[test]
fn capabilities() {
    play("capabilities");
}

#[test]
fn lifecycle() {
    play("lifecycle");
}

#[test]
fn lies() {
    let mut limits = Limits::default();
    limits.queued_bytes = 1 << 20;
    limits.stuck_for = Duration::from_secs(2);
    limits.malformed_frames = 100;
    play_with("lies", limits);
}

#[test]
fn sessions() {
    play("sessions");
}

#[test]
fn there_are_enough_stories() {
    let all = STORIES
        .iter()
        .map(|(subject, text)| story::read(subject, text));
    let count: usize = all.map(|stories| stories.len()).sum();
    println!("{count} stories");
    assert!(count >= 150, "{count} stories");
}
