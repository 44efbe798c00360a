//! A broker, a provider and a caller. All are processes, and all are honest.

use std::fs::{File, read_to_string};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callgate_tests::{Bus, Process, proc, programs, stress};

/// How many threads the honest caller has.
const THREADS: usize = 2;
/// Doorbell and status page; both outboxes, the peer's status page and its doorbell.
const MAPS: usize = 2 + 4;

pub(crate) struct Scene {
    pub(crate) bus: Bus,
    /// The provider of `anvil.Add` and other gates.
    pub(crate) anvil: Process,
    /// Calls `anvil` all the time, and other gates on request.
    pub(crate) honest: Process,
    logs: [PathBuf; 3],
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let bus = Bus::start(programs!());
        let (anvil, first) = logged(&bus, "provider", "anvil", &[]);
        let (honest, second) = logged(&bus, "stress", "honest", &["anvil"]);
        let logs = [first, second, bus.log()];
        let mut scene = Scene {
            bus,
            anvil,
            honest,
            logs,
        };
        scene.is_well();
        scene
    }

    /// Checks that the honest two have called each other and still do: no call met the end of its provider.
    pub(crate) fn is_well(&mut self) {
        let counts = stress::expect_progress(&mut self.honest, 0..THREADS);
        // At its very start it may have called before the provider was there.
        assert!(
            counts.iter().all(|(_, gone)| *gone == 0),
            "calls failed: {counts:?}"
        );
    }

    /// Makes the honest caller call a gate; the outcome follows as a line.
    pub(crate) fn ask(&mut self, gate: &str, timeout: Duration) {
        self.honest
            .say(&format!("ask {gate} {}", timeout.as_millis()));
    }

    /// The outcome of that call, a sum or an error's code, which must come within its timeout.
    pub(crate) fn outcome(line: &str, timeout: Duration) -> String {
        let (outcome, millis) = line.split_once(' ').expect("an outcome and a time");
        let took = Duration::from_millis(millis.parse().expect("a number"));
        assert!(
            took < timeout + Duration::from_secs(5),
            "{outcome} took {took:?}"
        );
        outcome.to_owned()
    }

    /// Checks that the honest two are unchanged, and hold nothing of the others.
    pub(crate) fn end(mut self) {
        self.is_well();
        for process in [&self.anvil, &self.honest] {
            proc::eventually(
                "only the honest link is mapped",
                || match proc::shared_maps(process.id()) {
                    MAPS => Ok(()),
                    other => Err(format!("{other} maps: {:#?}", proc::maps(process.id()))),
                },
            );
        }
        self.honest.kill();
        self.anvil.kill();
        for log in self.logs {
            let text = read_to_string(log).expect("its log");
            assert!(!text.contains("panicked"), "{text}");
        }
    }
}

/// A peer whose standard error goes to a file.
fn logged(bus: &Bus, role: &str, name: &str, of: &[&str]) -> (Process, PathBuf) {
    let path = bus.directory().join(format!("{name}.log"));
    let mut command = bus.peer_command(role, name, of);
    command.stderr(File::create(&path).expect("a log"));
    let mut process = Process::spawn(command);
    assert_eq!(process.expect_line(), "ready", "{name}");
    (process, path)
}

/// How long each random attack lasts: `CALLGATE_HOSTILE_MS`, or by default a short time.
pub(crate) fn a_while() -> Duration {
    let given = std::env::var("CALLGATE_HOSTILE_MS").ok();
    Duration::from_millis(given.and_then(|millis| millis.parse().ok()).unwrap_or(60))
}

pub(crate) fn is_over(since: Instant) -> bool {
    since.elapsed() >= a_while()
}
