//! This program once more, under callgrind.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use callgate_tests::{Bus, Process};
use tempfile::TempDir;

/// How long a step may take under callgrind, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is a callgrind.
pub(crate) fn is_here() -> bool {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--version"]);
    let status = valgrind
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// A role of this program, counted.
#[derive(Debug)]
pub(crate) struct Counted {
    process: Process,
    place: TempDir,
}

impl Counted {
    /// Starts a role on a bus, and waits until it is ready.
    pub(crate) fn start(bus: &Bus, role: &str, options: &[&str]) -> Counted {
        let place = TempDir::new().expect("a temporary directory");
        let mut command = Command::new("valgrind");
        command
            .args(["-q", "--tool=callgrind"])
            .arg(format!(
                "--callgrind-out-file={}",
                place.path().join("out").display()
            ))
            .args(options)
            .arg(std::env::current_exe().expect("this program"))
            .arg(role)
            .arg(bus.socket())
            // What it says of the call that it does not know would be all that one sees.
            .stderr(fs::File::create(place.path().join("log")).expect("a log"));
        let mut counted = Counted {
            process: Process::spawn(command),
            place,
        };
        counted.expect("ready");
        counted
    }

    /// Waits for a word.
    pub(crate) fn expect(&mut self, word: &str) {
        let line = self.process.line(PATIENCE);
        if line.as_deref() != Ok(word) {
            let log = fs::read_to_string(self.place.path().join("log")).unwrap_or_default();
            panic!("under valgrind: {line:?} in the place of {word}\n{log}");
        }
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        self.process.say("");
    }

    /// Ends it; the counts of what it has dumped, in order.
    pub(crate) fn end(self) -> Vec<u64> {
        self.process.kill();
        let file = |part: usize| self.place.path().join(format!("out.{part}"));
        let files = (1..).map(file).take_while(|file| file.exists());
        files.map(total).collect()
    }
}

/// The instructions in a dump.
fn total(file: PathBuf) -> u64 {
    let text = fs::read_to_string(file).expect("a dump");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total.expect("a dump's total")
}
