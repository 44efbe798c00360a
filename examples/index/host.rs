//! The host: a broker, a process for each plugin, and the words to look up.

use std::env;
use std::io::{self, BufRead, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callgate::{Broker, Child};
use callgate_client::{Code, Plugin, Subscriber};

use crate::cli::{Args, Role};
use crate::error::Error;
use crate::indexer;
use crate::reader::{self, Answer};
use crate::words::{Index, TAG};

/// How long the first index may take: the file may be large.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// Starts the broker and the plugins, looks words up, and ends everything.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let host = Host::start(args)?;
    match args.find.is_empty() {
        true => {
            for (nth, word) in io::stdin().lock().lines().enumerate() {
                host.look_up(nth, word?.trim())?;
            }
        }
        false => {
            for (nth, word) in args.find.iter().enumerate() {
                host.look_up(nth, word)?;
            }
        }
    }
    if args.forget {
        host.plugin.shares().remove(TAG)?;
    }
    Ok(())
}

/// Fields are dropped from top to bottom: the plugins end with the broker.
struct Host {
    readers: Vec<Subscriber<(String,), Answer>>,
    plugin: Plugin,
    _processes: Vec<Child>,
    _broker: Broker,
}

impl Host {
    fn start(args: &Args) -> Result<Host, Error> {
        let socket = args.socket.clone();
        // The name of the bus's socket is also that of its persistent shares.
        let socket =
            socket.unwrap_or_else(|| callgate::default_socket().with_file_name("index.sock"));
        let broker = Broker::builder().socket(socket).start()?;
        let plugin = Plugin::builder("host")
            .descriptor(broker.connect()?)
            .connect()?;
        let mut processes = Vec::new();
        let mut readers = Vec::new();
        for nth in 1..=args.readers {
            processes.push(spawn(&broker, Role::Reader, nth, args)?);
            readers.push(plugin.subscriber(&reader::gate(nth))?);
        }
        let indexer = spawn(&broker, Role::Indexer, 1, args)?;
        wait_for_index(&plugin, &indexer)?;
        processes.push(indexer);
        let host = Host {
            readers,
            plugin,
            _processes: processes,
            _broker: broker,
        };
        for reader in &host.readers {
            reader.wait_ready(START_TIMEOUT)?;
        }
        Ok(host)
    }

    /// Makes the readers look words up in turn.
    fn look_up(&self, nth: usize, word: &str) -> Result<(), Error> {
        let at = nth % self.readers.len();
        let answer = self.readers[at].invoke((word.to_owned(),))?;
        let times = match answer.count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let mut lines: Vec<String> = answer.lines.iter().map(u32::to_string).collect();
        if answer.has_more {
            lines.push("…".to_owned());
        }
        let lines = match lines.is_empty() {
            true => String::new(),
            false => format!(", in line {}", lines.join(", ")),
        };
        let by = format!("version {}, reader {}", answer.version, at + 1);
        Ok(writeln!(io::stdout(), "{word}: {times}{lines} ({by})")?)
    }
}

/// Waits until the index matches the file, and prints its size.
fn wait_for_index(plugin: &Plugin, indexer: &Child) -> Result<(), Error> {
    let current = plugin.subscriber::<(), u64>(indexer::GATE)?;
    let until = Instant::now() + START_TIMEOUT;
    loop {
        match current.wait_ready(Duration::from_millis(100)) {
            Err(error) if error.code() == Code::NotReady && Instant::now() < until => {}
            outcome => break outcome?,
        }
        if indexer.try_wait()?.is_some() {
            return Err(io::Error::other("the indexer has ended; there is no index").into());
        }
    }
    let index = plugin.shares().get::<Index>(TAG)?;
    let facts = format!(
        "{}: {} words, {} different (version {}, made by {})",
        index.source.path,
        index.total,
        index.words.len(),
        index.version(),
        index.maker()
    );
    Ok(writeln!(io::stdout(), "{facts}")?)
}

/// Starts this program again, as a plugin. `nth` is the number of a reader.
fn spawn(broker: &Broker, role: Role, nth: u32, args: &Args) -> Result<Child, Error> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--plugin", role.name(), "--nth", &nth.to_string(), "--"]);
    command.arg(args.file()).stdin(Stdio::null());
    Ok(broker.spawn(&role.plugin(nth), command)?)
}
