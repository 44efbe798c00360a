//! The harness: it starts brokers and plugins as real processes, talks to them over pipes, and kills them. When it is
//! dropped, everything that it has started is gone.
#![forbid(unsafe_code)]

pub mod cells;
pub mod cgroup;
pub mod closed;
pub mod counted;
pub mod cramped;
pub mod crossing;
pub mod events;
pub mod filter;
pub mod fuzzed;
pub mod graph;
pub mod groups;
pub mod hosts;
pub mod keeping;
pub mod large;
pub mod later;
pub mod lending;
pub mod proc;
mod process;
pub mod pumped;
pub mod random;
pub mod raw;
pub mod restart;
pub mod shares;
pub mod shorthand;
pub mod slots;
pub mod soak;
pub mod spans;
pub mod stdio;
pub mod storm;
pub mod stress;
pub mod suite;
pub mod types;
pub mod untyped;
pub mod visible;
pub mod warned;
pub mod workspace;

use std::fs::File;
use std::path::{Path, PathBuf};

use callgate_client::{Plugin, PluginBuilder};
use tempfile::TempDir;

pub use process::Process;

/// How long a test waits for something that should happen at once, on a busy machine.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Settings of the GNU C library that make a process keep no maps that it does not use.
const FEW_MAPS: &str = "glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1";

/// Set for a peer whose plugin must not wait for another broker.
pub const ENDS_WITH_BROKER: &str = "PEER_ENDS_WITH_BROKER";

/// The programs that tests start: the command line, and a plugin with every kind of gate.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// `callgate`, as a program of this package.
    pub program: &'static str,
    /// The plugin that does what its arguments say; see `src/bin/peer.rs`.
    pub peer: &'static str,
}

/// The [`Programs`] that Cargo built for the calling test.
#[macro_export]
macro_rules! programs {
    () => {
        $crate::Programs {
            program: env!("CARGO_BIN_EXE_callgate-program"),
            peer: env!("CARGO_BIN_EXE_callgate-peer"),
        }
    };
}

/// A bus of its own: a broker process and a private directory for its socket.
#[derive(Debug)]
pub struct Bus {
    programs: Programs,
    directory: TempDir,
    /// The program and the arguments that start the broker.
    serve: (&'static str, &'static [&'static str]),
    /// A shell script that runs before it.
    script: Option<&'static str>,
    /// The broker; `None` after it was killed.
    pub broker: Option<Process>,
}

impl Bus {
    /// Starts `callgate serve` and waits until it listens.
    pub fn start(programs: Programs) -> Bus {
        Bus::start_by(programs, (programs.program, &["serve"]))
    }

    /// As [`Bus::start`], with a broker whose descriptors and maps can be looked at: only root may look into
    /// `callgate serve`. Its C library keeps no stacks of threads that have ended, and has one heap. Otherwise the
    /// number of its maps would depend on how many of its threads ran at a time.
    pub fn start_open(programs: Programs) -> Bus {
        Bus::start_by(programs, (programs.peer, &["broker", "broker"]))
    }

    /// As [`Bus::start`], without a broker. Either [`Bus::start_broker`] starts one, or the test itself is the broker
    /// at [`Bus::socket`].
    pub fn without_broker(programs: Programs) -> Bus {
        Bus {
            programs,
            directory: TempDir::new().expect("a temporary directory"),
            serve: (programs.program, &["serve"]),
            script: None,
            broker: None,
        }
    }

    /// As [`Bus::start`], with a broker that is started by a shell after this script, which sets limits or
    /// namespaces.
    pub fn start_after(programs: Programs, script: &'static str) -> Bus {
        let mut bus = Bus::without_broker(programs);
        bus.script = Some(script);
        bus.start_broker();
        bus
    }

    fn start_by(programs: Programs, serve: (&'static str, &'static [&'static str])) -> Bus {
        let mut bus = Bus::without_broker(programs);
        bus.serve = serve;
        bus.start_broker();
        bus
    }

    /// Starts the broker, for the first time or again.
    pub fn start_broker(&mut self) {
        let (program, arguments) = self.serve;
        let mut command = std::process::Command::new(self.script.map_or(program, |_| "sh"));
        if let Some(script) = self.script {
            let script = format!("{script}\nexec \"$0\" \"$@\"");
            command.args(["-c", &script, program]);
        }
        command
            .args(arguments)
            .env("CALLGATE_SOCKET", self.socket());
        if program == self.programs.peer {
            command.env("GLIBC_TUNABLES", FEW_MAPS);
        }
        command.stderr(
            File::options()
                .create(true)
                .append(true)
                .open(self.log())
                .expect("a log"),
        );
        let mut broker = Process::spawn(command);
        let line = broker.expect_line();
        assert!(line.starts_with("listening on "), "{line}");
        self.broker = Some(broker);
    }

    /// Kills the broker with SIGKILL, and starts the next one as soon as it is gone.
    pub fn restart_broker(&mut self) {
        self.kill_broker();
        self.start_broker();
    }

    /// The file with what the brokers of this bus have written to their standard error. It is shown when a test
    /// fails.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("broker.log")
    }

    /// Kills the broker with SIGKILL, and waits until it is gone.
    pub fn kill_broker(&mut self) {
        drop(self.broker.take());
    }

    /// The bus's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("bus.sock")
    }

    /// The directory of this bus.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A plugin inside the test's own process.
    pub fn plugin(&self, name: &str) -> Plugin {
        self.builder(name).connect().expect("connecting to the bus")
    }

    /// As [`Bus::plugin`], before it connects. Other plugins of this process call it through shared memory, as if it
    /// were in another process.
    pub fn builder(&self, name: &str) -> PluginBuilder {
        Plugin::builder(name)
            .socket(self.socket())
            .direct_calls(false)
    }

    /// As [`Bus::plugin`], with a plugin that closes when the broker ends.
    pub fn mortal_plugin(&self, name: &str) -> Plugin {
        let builder = self.builder(name).outlives_broker(false);
        builder.connect().expect("connecting to the bus")
    }

    /// A plugin in a process of its own, which has printed that it is ready.
    pub fn peer(&self, role: &str, name: &str, more: &[&str]) -> Process {
        let mut peer = Process::spawn(self.peer_command(role, name, more));
        let line = peer.expect_line();
        assert_eq!(line, "ready", "the peer {name}");
        peer
    }

    /// As [`Bus::peer`], but the caller starts it and waits for its `ready`.
    pub fn peer_command(&self, role: &str, name: &str, more: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.programs.peer);
        command
            .args([role, name])
            .args(more)
            .env("CALLGATE_SOCKET", self.socket());
        command
    }

    /// The command line, for the caller to run to its end.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.programs.program);
        command
            .args(arguments)
            .env("CALLGATE_SOCKET", self.socket());
        command
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // A killed broker leaves its files to the next one, which does not come here.
        drop(
            self.broker
                .as_ref()
                .and_then(|broker| keeping::Files::find(broker.id())),
        );
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            println!("the broker's log:\n{log}");
        }
    }
}
