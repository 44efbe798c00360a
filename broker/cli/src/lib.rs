//! The command line of Callgate as a library, so that other programs (and tests) can offer the same
//! commands. The `callgate` program calls [`run`] and does nothing else.
//!
//! It is a crate of its own, so that a program that embeds a broker does not compile what only a
//! command line needs.
#![forbid(unsafe_code)]

mod call;
mod completions;
mod control;
mod echo;
mod emit;
mod hosting;
mod listen;
mod logs;
mod ls;
mod new;
mod notify;
mod output;
mod parameters;
mod ping;
mod policy;
mod run;
mod serve;
mod share;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use callgate_client::{Code, Error, Plugin, PluginBuilder, Result};
use clap::{Args, Parser, Subcommand};

use control::Order;
use output::Failed;

/// A shared-memory IPC broker for local plugin hosts.
#[derive(Debug, Parser)]
#[command(
    name = "callgate",
    version,
    about,
    infer_subcommands = true,
    after_help = "Exit codes: 0 done, 1 an error of the bus, of a gate or of its handler, 2 wrong arguments, 3 no broker."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// The bus's socket [default: $CALLGATE_SOCKET, or bus.sock in the user's runtime directory]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How long to wait for a gate, an answer or a listener, such as 200ms or 5s; where no broker listens, a command fails
    /// at once [default: 5s; `listen` and `logs -f` have no end]
    #[arg(long, global = true, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until SIGINT or SIGTERM
    Serve(hosting::Hosting),
    /// Run a broker, and the plugins whose manifests are in these folders, until SIGINT or SIGTERM
    ///
    /// It has the broker that `callgate serve` has, starts each plugin, and starts it again when it ends. A plugin may do what its
    /// manifest declares, whatever a policy file says of its name. One whose manifest cannot be used is left out, listed as "broken", and
    /// the others run. When the command ends, so do its plugins.
    ///
    /// It prints a line whenever a plugin is ready, has crashed and is tried again ("backoff"), is in quarantine, or is stopped, with how it
    /// ended. With --json, each is an object with "plugin", "state", "pid", "restarts", "last_exit", "killed" and "why"; a folder that cannot be used
    /// one with "folder", "state": "broken" and "why"; what else happens has "notice" ("changed", "unusable", "gone", "new", "unwatched",
    /// "no-plugins"). What plugins write prints `callgate logs`.
    ///
    /// Beside the plugins it provides services, which plugins use by frames of these types: data.kv (keys and values), data.config (the
    /// settings of their manifests), schedule.register and schedule.unregister (calls at intervals). They keep what they have in
    /// DIR/.callgate, where DIR is that of --data, or else the first one.
    ///
    /// Exit codes: 0 after SIGINT or SIGTERM, 1 where it cannot start, 2 for wrong arguments and for a DIR that cannot be read.
    Run(run::Options),
    /// Start a supervised plugin that is stopped or waits after a crash, or end its quarantine
    ///
    /// The runtime that `callgate run` or a host has on the bus does it. The command ends when the plugin is ready; it fails where
    /// the plugin ends again, and after --timeout, when the plugin goes on being started.
    Start(control::Options),
    /// End a supervised plugin: with SIGTERM, and after its grace with SIGKILL
    ///
    /// It stays away until it is started. The command ends when the plugin's process has ended.
    Stop(control::Options),
    /// End a supervised plugin and start it again at once
    Restart(control::Options),
    /// Print what supervised plugins have written, and what their runtime says of them
    ///
    /// Each line has the time at which it was read, the plugin, and "stdout", "stderr", or "runtime" for what the runtime says. With --json,
    /// each is an object with "plugin", "number", "at_ms", "stream", "text" and "is_cut".
    Logs(logs::Options),
    /// Write a plugin that runs as it is
    New(new::Options),
    /// Show what is on the bus
    ///
    /// Calls are counted since a plugin came to this broker. One that is "draining" came from the broker before it, less
    /// than five seconds ago, and still has links from there. The broker's generation says how many brokers in a row were
    /// killed at this socket, plus one. A topic is listed once for each plugin that sends on it, with how many events it has sent
    /// ("head"; those that nobody could have heard are not counted), and with those who hear it: how many events each has
    /// still to handle ("lag"), how often it was too slow ("evictions"), and how many events it has lost. A share is listed with its
    /// newest version, who made that, and who uses it; "others" are versions before it that somebody still has. A persistent one may
    /// have no users. A cell is listed among the shares, with who writes it as its owner.
    Ls {
        /// Only this
        #[arg(value_enum)]
        what: Option<ls::What>,
        /// Print the JSON Schema of what this gate takes and gives: of its function, or of its action where it has only that
        #[arg(long, value_name = "GATE")]
        schema: Option<String>,
    },
    /// Call a gate with JSON, and print its result as JSON
    ///
    /// The gate's types are its provider's, which converts the parameters and says which it cannot take. What it takes shows
    /// `callgate ls gates --schema GATE`.
    Call(call::Options),
    /// Send an event
    ///
    /// Anybody may send on an open topic and on a name that nobody has; on a gate's own topic only the gate's owner does.
    /// The command ends when all who listened have handled the event. Whoever begins to listen later does not get it.
    Emit(emit::Options),
    /// Print events as they come: of each one the JSON array of its parameters, on a line
    ///
    /// It goes on when senders or the broker end and come again, until it has printed --count events. With --json, each line
    /// is an object: an event has "topic", "sender", "number", "time" and "values"; one with "notice" says what else has happened
    /// ("listening", "here", "gone", "lost", "unfit", "failed", "unwritable", "unreadable", "broker-lost", "broker-back",
    /// "broker-refused"). Otherwise such lines go to standard error.
    Listen(listen::Options),
    /// Provide a gate that answers with what it was called with: its one parameter, or an array of all
    Echo(echo::Options),
    /// Call a gate that takes and gives bytes, and print how long it took
    Ping(ping::Options),
    /// Show shares, print one, or forget a persistent one
    Share {
        #[command(subcommand)]
        action: share::Action,
    },
    /// Print a script that lets a shell complete this command line
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with these arguments, the first of which is its name. Returns the exit code: 0 success, 1
/// failure, 2 wrong usage, 3 no broker answers.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match CommandLine::try_parse_from(arguments) {
        Ok(line) => line.run(),
        Err(error) => {
            // A closed stream is not worth a panic; help and version are successes.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

impl CommandLine {
    fn run(self) -> ExitCode {
        log_to_stderr();
        let common = &self.common;
        let outcome = match &self.command {
            Command::Serve(options) => serve::run(common, options),
            Command::Run(options) => run::run(common, options),
            Command::Start(options) => control::run(common, options, Order::Start),
            Command::Stop(options) => control::run(common, options, Order::Stop),
            Command::Restart(options) => control::run(common, options, Order::Restart),
            Command::Logs(options) => logs::run(common, options),
            Command::New(options) => new::run(common, options),
            Command::Ls {
                schema: Some(gate), ..
            } => ls::schema(common, gate),
            Command::Ls { what, schema: None } => ls::run(common, *what),
            Command::Call(options) => call::run(common, options),
            Command::Emit(options) => emit::run(common, options),
            Command::Listen(options) => listen::run(common, options),
            Command::Echo(options) => echo::run(common, options),
            Command::Ping(options) => ping::run(common, options),
            Command::Share { action } => share::run(common, action),
            Command::Completions { shell } => completions::run(*shell),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => output::report(&failed, common.json),
        }
    }
}

impl Common {
    /// How long a command waits by default.
    fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(5))
    }

    /// Waits for a gate, but not if its plugin must first be started by somebody.
    fn await_gate(&self, wait_ready: impl Fn(Duration) -> Result<()>) -> Result<()> {
        match wait_ready(self.timeout().min(LOOK)) {
            Err(error) if self.timeout() > LOOK && !is_away(&error) => wait_ready(self.timeout()),
            outcome => outcome,
        }
    }

    /// Joins the bus under a name that no other process has.
    fn connect(&self, role: &str) -> Result<Plugin> {
        self.builder(role).connect()
    }

    fn builder(&self, role: &str) -> PluginBuilder {
        let builder = Plugin::builder(&format!("callgate-{role}-{}", std::process::id()))
            .display_name(format!("callgate {role}"))
            .version(env!("CARGO_PKG_VERSION"))
            .timeout(self.timeout())
            // The connection that a host may have left to this process is meant for a plugin: one that this process
            // will become, or that runs this command before it connects.
            .inherits_connection(false);
        match &self.socket {
            Some(path) => builder.socket(path),
            None => builder,
        }
    }
}

/// How long a command waits for a gate before it asks the broker why nobody provides it.
const LOOK: Duration = Duration::from_millis(50);

/// Whether the plugin that would provide a gate must first be started or repaired by somebody.
fn is_away(error: &Error) -> bool {
    let state = error
        .context()
        .and_then(|context| context["state"].as_str());
    let is_away = matches!(state, Some("stopped" | "quarantined" | "broken"));
    error.code() == Code::NotReady && is_away
}

/// Logs warnings, or the level in `CALLGATE_LOG` (error, warn, info, debug, trace).
fn log_to_stderr() {
    let level = std::env::var("CALLGATE_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    let colour = std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A program that offers these commands as its own may have installed another subscriber.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .with_ansi(colour)
        .try_init();
}

type Outcome = std::result::Result<(), Failed>;
