//! The protocol document as tests: stories of children on real pipes, in text files, one for each subject.
//!
//! A story begins with `# ` and what it shows. `%` in it stands for the plugin's name. Each story has a plugin of its
//! own. If some of its lines begin with `2`, it has a second one, `%b`, and the story begins when both are ready. The
//! children play scripts (`tests/scripted`), and the test takes the lines one after the other.
//!
//! | line | |
//! |---|---|
//! | `may CAPABILITY …` | what the manifest allows |
//! | `with JSON` | other keys of the manifest |
//! | `unready` | the child does not say `ready` by itself |
//! | `> FRAME`, `> STEP` | the child writes a frame, or plays a step of a script |
//! | `< FRAME` | the next frame that the child hears has these fields; `"*"` is any value, `null` means that the field is missing |
//! | `<~ FRAME` | the next frame that has these texts also has these fields; other frames may come before it |
//! | `<< FRAME` | as `<`, for the next life, which plays the script from its beginning |
//! | `quiet` | the child was sent nothing else: it asks something, and the next frame that it hears is the answer |
//! | `call[@LABEL] [within MS] GATE ARGUMENTS` | the host calls a gate with a JSON array, after it is provided |
//! | `try[@LABEL] GATE ARGUMENTS` | the same, without waiting until it is provided |
//! | `as[@LABEL] USER ACTION PARAMS` | the host calls an action in a user's name |
//! | `gets[@LABEL] JSON` | the result of the call; `$/POINTER` in the arguments of calls is a part of the frame that was heard last, `${x:N}` N letters |
//! | `fails[@LABEL] CODE CONTEXT` | the error of the call |
//! | `held N` | this many calls of `host.hold` wait for an answer |
//! | `free JSON` | answers the first of them, once there is one |
//! | `listen TOPIC`, `heard TOPIC ARGUMENTS` | the host hears events |
//! | `send TOPIC ARGUMENTS` | the host sends an event |
//! | `tells KEY JSON`, `uploads NAME` | the host sends a setting, a file |
//! | `is JSON` | the status that the plugin has or will have: `state`, `restarts`, `exit`, `fault`, `why`, `unhealthy` |
//! | `counts JSON` | the plugin's counts |
//! | `logs TEXT` | a line of its log contains this text |
//! | `line JSON` | its log has a line with this `stream`, `text`, `is_cut` |
//! | `lines N`, `atmost N` | its log has this many lines; it has at most this many bytes |
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
