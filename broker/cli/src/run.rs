//! `callgate run`: a broker that also starts plugins from their folders, and supervises them.

mod report;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{io, thread};

use callgate_client::{Code, Error};
use callgate_runtime::{Builder, Runtime, RuntimeError};
use clap::Args;
use signal_hook::iterator::Signals;

use crate::hosting::{Hosted, Hosting};
use crate::output::Failed;
use crate::{Common, Outcome};
use callgate::BrokerHandle;
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folders of plugins: each has a manifest (manifest.json or plugin.toml), or folders that have one
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Where each plugin gets a folder of its name for its data [default: `data` in the plugin's own folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The program that runs a plugin's `backend.entry` with this extension, such as 'rb=ruby -w'. Without this, `python3 -u`
    /// runs .py, and `node` runs .js, .mjs and .cjs. May be given several times
    #[arg(long = "launcher", value_name = "EXT=PROGRAM", value_parser = launcher)]
    launchers: Vec<Launcher>,
    #[command(flatten)]
    hosting: Hosting,
}

/// Which program runs files with an extension.
#[derive(Clone, Debug)]
struct Launcher {
    extension: String,
    /// The program and its first arguments.
    command: Vec<String>,
}

/// What the command waits for.
#[derive(Debug)]
enum Happening {
    /// SIGINT or SIGTERM.
    Signal,
}

/// How often it is looked whether plugins that are being started are ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let (hosted, signals) = Hosted::start(common, &options.hosting)?;
    let (tell, happenings) = channel();
    hear(signals, tell).map_err(|error| Failed::Other(format!("signals: {error}")))?;
    let runtime = builder(hosted.broker.handle(), options)?
        .start()
        .map_err(failed)?;
    hosted.say_ready(common)?;
    let outcome = supervise(common, &runtime, &happenings);
    hosted.say_stopping();
    runtime.stop();
    hosted.broker.stop();
    Ok(outcome?)
}

/// Tells of signals.
fn hear(mut signals: Signals, tell: Sender<Happening>) -> io::Result<()> {
    let thread = thread::Builder::new().name("callgate-signals".into());
    let hears = move || {
        for _ in signals.forever() {
            // Once the command ends by itself, nobody hears of them.
            if tell.send(Happening::Signal).is_err() {
                return;
            }
        }
    };
    thread.spawn(hears).map(drop)
}

/// Says how the plugins stand, until a signal comes.
fn supervise(
    common: &Common,
    runtime: &Runtime,
    happenings: &Receiver<Happening>,
) -> io::Result<()> {
    let mut report = Report::new(common.json, runtime);
    report.broken(runtime.broken())?;
    loop {
        report.look(runtime)?;
        let happened = match report.is_awaiting() {
            true => happenings.recv_timeout(LOOK_EVERY),
            false => happenings.recv().map_err(RecvTimeoutError::from),
        };
        match happened {
            Ok(Happening::Signal) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// A runtime that does what the options say.
fn builder(broker: BrokerHandle, options: &Options) -> Result<Builder, Error> {
    let mut builder = Runtime::builder(broker);
    for folder in &options.folders {
        builder = builder.plugins(absolute(folder)?);
    }
    if let Some(data) = &options.data {
        builder = builder.data_dir(absolute(data)?);
    }
    for Launcher { extension, command } in &options.launchers {
        builder = builder.launcher(extension, command);
    }
    Ok(builder)
}

/// The path from the root: a plugin's program is started in the plugin's folder.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        let text = format!("the folder {}: {error}", path.display());
        Error::new(Code::InvalidArgument, text)
    })
}

fn launcher(text: &str) -> Result<Launcher, String> {
    let wrong = "it is an extension and a program, such as rb=ruby";
    let (extension, command) = text.split_once('=').ok_or(wrong)?;
    let extension = extension.trim_start_matches('.');
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    match extension.is_empty() || command.is_empty() {
        true => Err(wrong.to_owned()),
        false => Ok(Launcher {
            extension: extension.to_owned(),
            command,
        }),
    }
}

/// Why there is no runtime.
fn failed(error: RuntimeError) -> Error {
    match error {
        RuntimeError::Bus(error) => error,
        RuntimeError::Folder { .. } => Error::new(Code::InvalidArgument, error.to_string()),
        error => Error::new(Code::System, error.to_string()),
    }
}
