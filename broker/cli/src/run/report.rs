//! What `callgate run` says of its plugins: a line for each when it is known whether it runs.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use callgate::shown::{shown, shown_json};
use callgate::supervision::{State, Status};
use callgate_runtime::{Broken, PluginStatus, Runtime};
use serde_json::{Value, json};

/// Says of plugins that were started how they stand.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    /// Those of which nothing was said since they were started.
    awaited: BTreeSet<String>,
}

impl Report {
    /// Of all plugins of a runtime that was just started.
    pub(super) fn new(json: bool, runtime: &Runtime) -> Report {
        let all = runtime.plugins().into_iter().map(|status| status.name);
        Report {
            json,
            awaited: all.collect(),
        }
    }

    /// Whether there is a plugin of which something is to be said.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Says how those stand whose start has come to something.
    pub(super) fn look(&mut self, runtime: &Runtime) -> io::Result<()> {
        if !self.is_awaiting() {
            return Ok(());
        }
        for status in runtime.plugins() {
            let is_settled = status.supervision.state != State::Starting;
            if is_settled && self.awaited.remove(&status.name) {
                self.say(&document(&status), &sentence(&status))?;
            }
        }
        Ok(())
    }

    /// Says which plugins were left out. People are told by the runtime, which logs it.
    pub(super) fn broken(&self, broken: &[Broken]) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        broken.iter().try_for_each(|broken| {
            let folder = broken.folder.display().to_string();
            let document = json!({ "folder": folder, "state": "broken", "why": broken.why });
            self.say(&document, "")
        })
    }

    fn say(&self, document: &Value, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.json {
            true => writeln!(out, "{}", shown_json(document))?,
            false => writeln!(out, "{}", shown(text))?,
        }
        out.flush()
    }
}

/// The words of `callgate ls`.
fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Waiting => "backoff",
        State::Quarantined => "quarantined",
        State::Stopping | State::Stopped => "stopped",
    }
}

fn document(status: &PluginStatus) -> Value {
    let Status {
        state,
        pid,
        last_exit,
        last_fault,
        ..
    } = &status.supervision;
    let fault = last_fault.as_ref();
    json!({
        "plugin": status.name,
        "state": word(*state),
        "pid": pid,
        "last_exit": last_exit.map(|exit| exit.to_string()),
        "why": fault.map(|fault| json!({ "code": fault.code, "message": fault.why })),
    })
}

fn sentence(status: &PluginStatus) -> String {
    let (name, supervision) = (&status.name, &status.supervision);
    let word = word(supervision.state);
    match supervision.state {
        State::Starting | State::Ready => {
            let pid = supervision.pid.map(|pid| format!(", process {pid}"));
            format!("{name}: {word}{}", pid.unwrap_or_default())
        }
        State::Waiting => {
            let next = supervision.next_try.map(next_try).unwrap_or_default();
            format!("{name}: {word}, {}{next}", why(supervision))
        }
        State::Quarantined => format!(
            "{name}: {word}, {}; `callgate start {name}` starts it again",
            why(supervision)
        ),
        State::Stopping | State::Stopped => format!("{name}: {word}, {}", why(supervision)),
    }
}

fn why(status: &Status) -> String {
    match (&status.last_fault, status.last_exit) {
        (Some(fault), _) => format!("{}: {}", fault.code, fault.why),
        (None, Some(exit)) => format!("it has ended ({exit})"),
        (None, None) => "it was not started".to_owned(),
    }
}

fn next_try(left: Duration) -> String {
    // In tenths of a second, rounded up: it is not started earlier.
    let tenths = left.as_millis().div_ceil(100);
    format!("; next try in {}.{} s", tenths / 10, tenths % 10)
}
