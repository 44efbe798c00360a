//! Runs the program, and looks at its processes.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, which Cargo puts into `examples` beside the `deps` that this test is in.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("examples/rack");
    assert!(
        path.exists(),
        "`cargo test` builds {}, and so does `cargo build --example rack`",
        path.display()
    );
    path
}

/// A rack that runs in a folder of its own. It is killed if a test ends before it does.
pub(super) struct Run {
    pub(super) folder: TempDir,
    process: Child,
}

/// The output of a rack that has ended.
pub(super) struct Outcome {
    pub(super) folder: TempDir,
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Run {
    pub(super) fn start(args: &[&str]) -> Run {
        Run::start_in(tempfile::tempdir().unwrap(), args)
    }

    pub(super) fn start_in(folder: TempDir, args: &[&str]) -> Run {
        let stream = |name| File::create(folder.path().join(name)).unwrap();
        let process = Command::new(program())
            .args(args)
            .current_dir(folder.path())
            .env_remove("CALLGATE_FD")
            .env("CALLGATE_SOCKET", folder.path().join("nobody.sock"))
            .stdin(Stdio::null())
            .stdout(stream("stdout"))
            .stderr(stream("stderr"))
            .spawn()
            .unwrap();
        Run { folder, process }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    pub(super) fn finish(mut self) -> Outcome {
        let status = wait_for("the rack to end", || self.process.try_wait().unwrap());
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        Outcome {
            status,
            stdout: text("stdout"),
            stderr: text("stderr"),
            folder,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Outcome {
    pub(super) fn run(args: &[&str]) -> Outcome {
        Run::start(args).finish()
    }

    /// The audio of a successful render.
    pub(super) fn audio(&self) -> Vec<u8> {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        fs::read(self.folder.path().join("rack.wav")).unwrap()
    }

    /// The files in the folder, without those of the streams.
    pub(super) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with("std")).collect()
    }

    /// The error text of a rack that failed, which must leave nothing behind.
    pub(super) fn complaint(&self) -> &str {
        assert_eq!(self.status.code(), Some(1), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr.lines().last().unwrap()
    }
}

pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ids and start times of a process's children, in the order of their ids.
pub(super) fn children(parent: u32) -> Vec<(u32, u64)> {
    let mut children: Vec<_> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .filter(|(_, stat)| stat.parent == parent)
        .map(|(pid, stat)| (pid, stat.started))
        .collect();
    children.sort_unstable();
    children
}

struct Stat {
    state: String,
    parent: u32,
    started: u64,
}

/// Fields 3, 4 and 22 of a process's line in /proc; `None` if there is no such process.
fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line[line.rfind(')')? + 1..].split_whitespace();
    Some(Stat {
        state: fields.next()?.to_owned(),
        parent: fields.next()?.parse().ok()?,
        started: fields.nth(17)?.parse().ok()?,
    })
}

pub(super) fn is_alive((pid, started): (u32, u64)) -> bool {
    stat(pid).is_some_and(|stat| stat.started == started && stat.state != "Z")
}
