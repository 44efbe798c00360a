//! What `callgate run` prints about its plugins: a line whenever one is ready, has crashed, is in quarantine, or is
//! stopped.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use callgate::shown::{shown, shown_json};
use callgate::supervision::{State, Status};
use callgate_runtime::{Broken, PluginStatus};
use serde_json::{Value, json};

/// Prints the states of plugins.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    /// The plugins that were stopped because their folders were removed.
    gone: BTreeSet<String>,
}

impl Report {
    pub(super) fn new(json: bool) -> Report {
        Report {
            json,
            gone: BTreeSet::new(),
        }
    }

    /// Records that a plugin was stopped because its folder was removed.
    pub(super) fn has_gone(&mut self, name: &str) {
        self.gone.insert(name.to_owned());
    }

    /// Whether a plugin was stopped for that reason, and its folder has not come back.
    pub(super) fn is_gone(&self, name: &str) -> bool {
        self.gone.contains(name)
    }

    /// Whether a plugin's folder was removed and has come back.
    pub(super) fn is_back(&mut self, name: &str) -> bool {
        self.gone.remove(name)
    }

    /// Prints a plugin's state, unless it is only a step towards another state.
    pub(super) fn state(&self, status: &PluginStatus) {
        let is_told = match status.supervision.state {
            State::Starting | State::Stopping => false,
            // This was printed when its folder was removed.
            State::Stopped => !self.gone.contains(&status.name),
            State::Ready | State::Waiting | State::Quarantined => true,
        };
        if is_told {
            self.say(&document(status), &sentence(status));
        }
    }

    /// Prints which plugins were left out. For people, the runtime logs that.
    pub(super) fn broken(&self, broken: &[Broken]) {
        for broken in broken.iter().filter(|_| self.json) {
            let folder = broken.folder.display().to_string();
            let document = json!({ "folder": folder, "state": "broken", "why": broken.why });
            self.say(&document, "");
        }
    }

    /// Prints that there is no plugin at all.
    pub(super) fn nobody(&self) {
        self.say(
            &json!({ "notice": "no-plugins" }),
            "no plugin runs: neither these folders nor those in them have a manifest (manifest.json, plugin.toml) that can be \
             used; `callgate new` writes one",
        );
    }

    /// Prints that something has happened.
    pub(super) fn say(&self, document: &Value, text: &str) {
        let mut out = io::stdout().lock();
        let said = match self.json {
            true => writeln!(out, "{}", shown_json(document)),
            false => writeln!(out, "{}", shown(text)),
        };
        // The plugins go on even if these lines cannot be written.
        let _ = said.and_then(|()| out.flush());
    }
}

/// The words that `callgate ls` uses, too.
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
        was_killed,
        restarts,
        ..
    } = &status.supervision;
    let fault = last_fault.as_ref();
    json!({
        "plugin": status.name,
        "state": word(*state),
        "pid": pid,
        "restarts": restarts,
        "last_exit": last_exit.map(|exit| exit.to_string()),
        "killed": was_killed,
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
            format!("{name}: {word}, {}{next}", why(status))
        }
        State::Quarantined => format!(
            "{name}: {word}, {}; `callgate start {name}` starts it again",
            why(status)
        ),
        State::Stopping | State::Stopped => format!("{name}: {word}, {}", why(status)),
    }
}

/// How the plugin ended last, and the last line that it wrote to stderr before.
fn why(status: &PluginStatus) -> String {
    let ended = status.supervision.how_it_ended();
    let ended = ended.unwrap_or_else(|| "it was not started".to_owned());
    match &status.last_on_stderr {
        Some(last) => format!("{ended}; its last line on stderr: {last}"),
        None => ended,
    }
}

fn next_try(left: Duration) -> String {
    // In tenths of a second, rounded up: the plugin is not started earlier.
    let tenths = left.as_millis().div_ceil(100);
    format!("; next try in {}.{} s", tenths / 10, tenths % 10)
}
