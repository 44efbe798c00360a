//! Runs the program to its end.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use callgate_tests::{PATIENCE, programs};
use serde_json::Value;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The one document on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// Asserts that it failed with a code of the bus, and reported that on standard error only.
    #[track_caller]
    pub(crate) fn assert_failed(&self, exit: i32, code: &str) {
        assert_eq!(self.exit, Some(exit), "{self:?}");
        assert!(self.stderr.starts_with(&format!("{code}: ")), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
    }

    /// Asserts that it failed with a code of the bus, and reported that in JSON.
    #[track_caller]
    pub(crate) fn assert_failed_in_json(&self, exit: i32, code: &str) {
        assert_eq!(self.exit, Some(exit), "{self:?}");
        let document = self.json();
        assert_eq!(document["error"]["code"], code, "{self:?}");
        assert!(document["error"]["message"].is_string(), "{self:?}");
        assert!(document["error"].get("context").is_some(), "{self:?}");
    }
}

/// The program with these arguments, on the bus with this socket.
pub(crate) fn command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs!().program);
    command
        .args(arguments)
        .env("CALLGATE_SOCKET", socket)
        .env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
#[track_caller]
pub(crate) fn run(socket: &Path, arguments: &[&str]) -> Outcome {
    finish(start(command(socket, arguments)))
}

/// Starts a command whose output is read at its end.
pub(crate) fn start(mut command: Command) -> Child {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Waits for a command to end. It must not print much, and must not panic.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Outcome {
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().expect("waiting for a child") {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            None => {
                let _ = child.kill();
                panic!("the command does not end");
            }
        }
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut stdout)
            .expect("text on standard output");
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut stderr)
            .expect("text on standard error");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!stderr.contains("backtrace"), "{stderr}");
    Outcome {
        exit: status.code(),
        stdout,
        stderr,
    }
}
