//! A child process with pipes. It is killed when it is dropped.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::shorthand::await_that;

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program on the bus with this socket. Its standard error goes to that of the test.
    pub fn start(program: impl AsRef<OsStr>, arguments: &[&str], socket: &Path) -> Process {
        let mut command = Command::new(program);
        command.args(arguments).env("CALLGATE_SOCKET", socket);
        Process::spawn(command)
    }

    /// Starts a command whose standard input and output are pipes.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::piped());
        Process::spawn_by(command)
    }

    /// As [`Process::spawn`], with this descriptor as its input.
    pub fn with_input(mut command: Command, input: OwnedFd) -> Process {
        command.stdin(input);
        Process::spawn_by(command)
    }

    fn spawn_by(mut command: Command) -> Process {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("the pipe was asked for");
        let (sender, lines) = channel();
        // The reading thread ends with the child's output, and that ends with the child.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Process {
            child,
            stdin,
            lines,
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output; fails the test if none comes.
    pub fn expect_line(&mut self) -> String {
        self.line(PATIENCE)
            .unwrap_or_else(|why| panic!("process {}: {why:?}", self.id()))
    }

    /// The next line of its output, if it comes in time.
    pub fn line(&mut self, timeout: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(timeout)
    }

    /// Writes a line to its input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .expect("it reads its input");
    }

    /// Writes a line, and waits for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.expect_line()
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // Fails only if the process has ended.
        let _ = kill(Pid::from_raw(self.id() as i32), signal);
    }

    /// Stops it with SIGSTOP, and waits until all its threads have stopped.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.id());
        await_that("it stands still", || {
            let tasks = std::fs::read_dir(&tasks).expect("it lives").flatten();
            let stats = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")));
            stats.flatten().all(|stat| {
                stat.rsplit_once(')')
                    .is_some_and(|(_, rest)| rest.starts_with(" T"))
            })
        });
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits until it ends by itself; fails the test if it does not.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                return status;
            }
            assert!(Instant::now() < until, "process {} does not end", self.id());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// As [`Process::kill`], for a process that the caller cannot give away.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
