//! `callgate run`: a broker that also starts plugins from their folders, and supervises them.

mod folder;
mod happening;
mod places;
mod report;
mod running;
mod services;
mod watch;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{io, thread};

use callgate_client::{Code, Error};
use callgate_runtime::{Builder, Runtime, RuntimeError};
use clap::Args;
use serde_json::json;
use signal_hook::iterator::Signals;

use crate::hosting::{Hosted, Hosting};
use crate::output::Failed;
use crate::{Common, Outcome};
use callgate::BrokerHandle;
use happening::Happening;
use places::Places;
use report::Report;
use running::Running;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folders of plugins: each has a manifest (manifest.json or plugin.toml), or folders that have one
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Where each plugin gets a folder of its name for its data [default: `data` in the plugin's own folder]. What plugins keep by
    /// `data.kv` is in `.callgate` there, or in that of the first DIR
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The program that runs a plugin's `backend.entry` with this extension, such as 'rb=ruby -w'. Without this, `python3 -u`
    /// runs .py, and `node` runs .js, .mjs and .cjs. May be given several times
    #[arg(long = "launcher", value_name = "EXT=PROGRAM", value_parser = launcher)]
    launchers: Vec<Launcher>,
    /// Restart a plugin when its manifest or another file of its folder has changed
    ///
    /// Passed over are its data, hidden files, `target`, `node_modules`, `__pycache__`, and what editors write beside a file. Where
    /// the new manifest cannot be used, the plugin goes on as it was, and the reason is printed. A plugin that was stopped stays
    /// so. Folders that come to be in DIR, or get a manifest, are started; those that go are stopped. Programs outside of the
    /// folder are not watched
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    hosting: Hosting,
}

/// The program that runs files with an extension.
#[derive(Clone, Debug)]
struct Launcher {
    extension: String,
    /// The program and its first arguments.
    command: Vec<String>,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let places = Places::new(&options.folders, options.data.as_deref())?;
    let (hosted, signals) = Hosted::start(common, &options.hosting)?;
    let (tell, happenings) = channel();
    hear(signals, tell.clone()).map_err(|error| Failed::Other(format!("signals: {error}")))?;
    // Start the services before the plugins, which may ask for their data at once.
    let services = services::start(&hosted.broker.handle(), places.of_services())?;
    services::tell_all(&services, &places.folders);
    if options.watch {
        watch::watch(&places, tell.clone())
            .map_err(|error| Failed::Other(format!("the folders cannot be watched: {error}")))?;
    }
    let runtime = builder(hosted.broker.handle(), options, &places);
    let runtime = runtime.on_change(move |status| {
        // An error may be dropped: once the command ends, nothing receives the states of plugins.
        let _ = tell.send(Happening::State(Box::new(status.clone())));
    });
    let runtime = runtime.start().map_err(failed)?;
    hosted.say_ready(common)?;
    let running = Running {
        runtime: &runtime,
        services: &services,
        report: Report::new(common.json),
    };
    supervise(running, &happenings);
    hosted.say_stopping();
    runtime.stop();
    drop(services);
    hosted.broker.stop();
    Ok(())
}

/// Passes signals to the command's main loop.
fn hear(mut signals: Signals, tell: Sender<Happening>) -> io::Result<()> {
    let thread = thread::Builder::new().name("callgate-signals".into());
    let hears = move || {
        for _ in signals.forever() {
            // When the command ends by itself, nothing receives them.
            if tell.send(Happening::Signal).is_err() {
                return;
            }
        }
    };
    thread.spawn(hears).map(drop)
}

/// Prints the states of the plugins until a signal comes.
fn supervise(mut running: Running<'_>, happenings: &Receiver<Happening>) {
    let runtime = running.runtime;
    running.report.broken(runtime.broken());
    if runtime.plugins().is_empty() {
        running.report.nobody();
    }
    while let Ok(happened) = happenings.recv() {
        match happened {
            Happening::Changed(folder) => running.changed(&folder),
            Happening::State(status) => running.report.state(&status),
            Happening::Unwatched(why) => running.report.say(
                &json!({ "notice": "unwatched", "why": why }),
                &format!("changes are not noticed in {why}"),
            ),
            Happening::Signal => return,
        }
    }
}

/// The builder of a runtime with these options.
fn builder(broker: BrokerHandle, options: &Options, places: &Places) -> Builder {
    let mut builder = Runtime::builder(broker);
    for folder in &places.folders {
        builder = builder.plugins(folder);
    }
    if let Some(data) = &places.data {
        builder = builder.data_dir(data);
    }
    for Launcher { extension, command } in &options.launchers {
        builder = builder.launcher(extension, command);
    }
    builder
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

/// The error if the runtime cannot be started.
fn failed(error: RuntimeError) -> Error {
    match error {
        RuntimeError::Bus(error) => error,
        RuntimeError::Folder { .. } => Error::new(Code::InvalidArgument, error.to_string()),
        error => Error::new(Code::System, error.to_string()),
    }
}
