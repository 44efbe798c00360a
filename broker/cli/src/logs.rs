//! `callgate logs`

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant, UNIX_EPOCH};

use callgate_client::{Error, EventNotice, Events, Plugin, Received};
use callgate_runtime::RuntimeLogLine;
use clap::Args;
use serde_json::json;

use crate::control::without_runtime;
use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this plugin
    plugin: Option<String>,
    /// Go on with what is written from now on, until a signal, or --timeout where it is given
    #[arg(short, long)]
    follow: bool,
    /// So many of the last lines; a runtime keeps 500 of each plugin
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 500)]
    lines: u32,
}

const LOGS: &str = "callgate.runtime.logs";
const LOG: &str = "callgate.runtime.log";

/// Length of one wait if the command has no time limit.
const LONG: Duration = Duration::from_secs(86_400);

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let begun = Instant::now();
    let plugin = common.connect("logs")?;
    // Subscribe before fetching the kept lines, so that none is missed in between.
    let events = match options.follow {
        true => Some(plugin.events::<(RuntimeLogLine,)>(LOG)?),
        false => None,
    };
    let mut printer = Printer {
        json: common.json,
        plugin: options.plugin.clone(),
        printed: HashMap::new(),
    };
    for line in kept(common, &plugin, options)? {
        printer.print(&line)?;
    }
    match events {
        Some(events) => follow(common, events, (printer, begun)),
        None => Ok(()),
    }
}

/// The last lines that the runtime has.
fn kept(common: &Common, plugin: &Plugin, options: &Options) -> Result<Vec<RuntimeLogLine>, Error> {
    let gate = plugin.subscriber::<(String, u32), Vec<RuntimeLogLine>>(LOGS)?;
    let name = options.plugin.clone().unwrap_or_default();
    let called = gate
        .with_timeout(common.timeout())
        .invoke((name, options.lines));
    called.map_err(without_runtime)
}

fn follow(
    common: &Common,
    mut events: Events<(RuntimeLogLine,)>,
    (mut printer, begun): (Printer, Instant),
) -> Outcome {
    loop {
        let left = |timeout: Duration| timeout.saturating_sub(begun.elapsed());
        match events.next(common.timeout.map_or(LONG, left))? {
            Some(Received::Event(event)) => printer.print(&event.values.0)?,
            Some(Received::Notice(notice)) => printer.notice(&notice)?,
            None if common.timeout.is_none() => {}
            None => return Ok(()),
        }
    }
}

/// Prints a line for each log line.
struct Printer {
    json: bool,
    /// If set, only this plugin's lines are printed.
    plugin: Option<String>,
    /// The number of each plugin's last line that was printed.
    printed: HashMap<String, u64>,
}

impl Printer {
    fn print(&mut self, line: &RuntimeLogLine) -> io::Result<()> {
        let is_other = self
            .plugin
            .as_ref()
            .is_some_and(|name| *name != line.plugin);
        let printed = self.printed.entry(line.plugin.clone()).or_default();
        if is_other || line.number <= *printed {
            return Ok(());
        }
        *printed = line.number;
        let mut out = io::stdout().lock();
        match self.json {
            true => writeln!(out, "{}", shown_json(&json!(line)))?,
            false => writeln!(out, "{}", shown(&text(line)))?,
        }
        out.flush()
    }

    /// Prints that lines were lost, or that the runtime has gone.
    fn notice(&mut self, notice: &EventNotice) -> io::Result<()> {
        let text = match notice {
            EventNotice::Lost { count, .. } => format!("{count} lines were lost"),
            EventNotice::Gone { why, .. } => {
                // The next runtime counts lines from 1 again.
                self.printed.clear();
                format!("the runtime has gone: {why}")
            }
            _ => return Ok(()),
        };
        match self.json {
            true => writeln!(
                io::stdout().lock(),
                "{}",
                shown_json(&json!({ "notice": text }))
            ),
            false => writeln!(io::stderr().lock(), "{}", shown(&text)),
        }
    }
}

fn text(line: &RuntimeLogLine) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(line.at_ms));
    let at = at.map(|at| humantime::format_rfc3339_millis(at).to_string());
    let cut = if line.is_cut { " […]" } else { "" };
    let at = at.unwrap_or_default();
    format!("{at} {} {}: {}{cut}", line.plugin, line.stream, line.text)
}
