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
    /// Those that were stopped because their folder had gone.
    gone: BTreeSet<String>,
}

impl Report {
    /// Of all plugins of a runtime that was just started.
    pub(super) fn new(json: bool, runtime: &Runtime) -> Report {
        let all = runtime.plugins().into_iter().map(|status| status.name);
        Report {
            json,
            awaited: all.collect(),
            gone: BTreeSet::new(),
        }
    }

    /// A plugin was started anew.
    pub(super) fn awaits(&mut self, name: &str) {
        self.awaited.insert(name.to_owned());
    }

    /// A plugin was stopped because its folder had gone.
    pub(super) fn has_gone(&mut self, name: &str) {
        self.awaited.remove(name);
        self.gone.insert(name.to_owned());
    }

    /// Whether a plugin's folder had gone, and is there again.
    pub(super) fn is_back(&mut self, name: &str) -> bool {
        self.gone.remove(name)
    }

    /// Whether there is a plugin of which something is to be said.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Says how those stand whose start has come to something.
    pub(super) fn look(&mut self, runtime: &Runtime) {
        if !self.is_awaiting() {
            return;
        }
        for status in runtime.plugins() {
            let state = status.supervision.state;
            let is_settled = !matches!(state, State::Starting | State::Stopping);
            if is_settled && self.awaited.remove(&status.name) {
                self.say(&document(&status), &sentence(&status));
            }
        }
    }

    /// Says which plugins were left out. People are told by the runtime, which logs it.
    pub(super) fn broken(&self, broken: &[Broken]) {
        for broken in broken.iter().filter(|_| self.json) {
            let folder = broken.folder.display().to_string();
            let document = json!({ "folder": folder, "state": "broken", "why": broken.why });
            self.say(&document, "");
        }
    }

    /// Says that there is no plugin at all.
    pub(super) fn nobody(&self) {
        self.say(
            &json!({ "notice": "no-plugins" }),
            "no plugin runs: neither these folders nor those in them have a manifest (manifest.json, plugin.toml) that can be \
             used; `callgate new` writes one",
        );
    }

    /// Says something that has happened.
    pub(super) fn say(&self, document: &Value, text: &str) {
        let mut out = io::stdout().lock();
        let said = match self.json {
            true => writeln!(out, "{}", shown_json(document)),
            false => writeln!(out, "{}", shown(text)),
        };
        // The plugins go on also when nobody reads what is said of them.
        let _ = said.and_then(|()| out.flush());
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
