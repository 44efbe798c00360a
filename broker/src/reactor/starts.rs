//! Programs that were started and are not plugins, or not any more: who waits for their gates is
//! told of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, GateToPlugin, SessionToPlugin};

use super::{Reactor, Timer};
use crate::child::Tracked;
use crate::id::PluginId;
use crate::listing::EndedEntry;

/// Programs that have ended, of which the broker remembers so many: the latest.
const KEPT: usize = 64;
/// How long a program may take to end that has closed its connection.
const ENDING_TIME: Duration = Duration::from_secs(1);
/// Programs that one answer names.
const NAMED: usize = 4;

/// A program that has ended, or was refused.
#[derive(Debug)]
struct Ended {
    name: String,
    pid: u32,
    why: String,
    /// Whether it was a plugin before.
    had_connected: bool,
}

/// Programs that have ended and were not started again: one for each name.
#[derive(Debug, Default)]
pub(super) struct Starts {
    ended: VecDeque<Ended>,
}

impl Starts {
    /// A plugin of this name is started again, or has come.
    pub(super) fn forget(&mut self, name: &str) {
        self.ended.retain(|start| start.name != name);
    }

    fn note(&mut self, ended: Ended) {
        self.forget(&ended.name);
        if self.ended.len() == KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }

    /// For the listing.
    pub(super) fn entries(&self) -> Vec<EndedEntry> {
        let entry = |start: &Ended| EndedEntry {
            name: start.name.clone(),
            pid: start.pid,
            why: start.why.clone(),
        };
        self.ended.iter().map(entry).collect()
    }
}

/// Whether a gate is one of a plugin's by the convention `Owner.Name`, whatever the case of letters.
fn is_by_name(gate: &str, plugin: &str) -> bool {
    let owner = gate.get(..plugin.len());
    owner.is_some_and(|owner| owner.eq_ignore_ascii_case(plugin))
        && gate.as_bytes().get(plugin.len()) == Some(&b'.')
}

impl Reactor {
    /// A program will not become a plugin: tells its host's handle, and who waits for its gates.
    pub(super) fn start_failed(&mut self, tracked: &Tracked, why: String, now: Instant) {
        tracing::warn!("{why}");
        tracked.failed(why.clone());
        self.note_end(tracked, why);
        for (plugin, open, gate) in self.bus.registry().absent_opens() {
            self.tell_failed(plugin, open, &gate, now);
        }
    }

    /// Notes the end of a program. Of one that was a plugin nobody is told at once: whoever has
    /// started it may start it again, and who waits for its gates waits for that.
    pub(super) fn note_end(&mut self, tracked: &Tracked, why: String) {
        self.starts.note(Ended {
            name: tracked.name().to_owned(),
            pid: tracked.id(),
            why,
            had_connected: tracked.has_connected(),
        });
    }

    /// A plugin takes part, whoever started it.
    pub(super) fn start_succeeded(&mut self, plugin: PluginId) {
        if let Some(tracked) = self.children.get(&plugin.0) {
            tracked.connected();
        }
        if let Some(member) = self.bus.member(plugin) {
            self.starts.forget(&member.identity.name);
        }
    }

    /// A session has ended: of a program that the broker started, it may be the end of its start.
    pub(super) fn session_ended(&mut self, plugin: PluginId, failure: &Failure, now: Instant) {
        let Some(tracked) = self.children.get(&plugin.0).cloned() else {
            return;
        };
        if self.stopping {
            if tracked.is_starting() {
                tracked.failed(failure.message.clone());
            }
        } else if tracked.reap() {
            self.reap(plugin.0, now);
        } else if tracked.is_starting() && failure.code == Code::ProviderGone as u16 {
            // As a rule because it is ending: how is known in a moment.
            self.timers
                .set(Timer::Closed(plugin.0), Some(now + ENDING_TIME));
        } else if tracked.is_starting() {
            let code = Code::from_u16(failure.code).unwrap_or(Code::System);
            let (name, pid) = (tracked.name(), tracked.id());
            let why = &failure.message;
            let why = format!("plugin `{name}` (pid {pid}) did not connect: {code}: {why}");
            self.start_failed(&tracked, why, now);
        }
    }

    /// A program has closed its connection before it connected, and goes on without.
    pub(super) fn lives_unconnected(&mut self, id: u64, now: Instant) {
        let starting = self.children.get(&id).filter(|child| child.is_starting());
        if let Some(tracked) = starting.cloned() {
            let (name, pid) = (tracked.name(), tracked.id());
            let why = format!(
                "plugin `{name}` (pid {pid}) has closed its connection before it connected, and runs on"
            );
            self.start_failed(&tracked, why, now);
        }
    }

    /// Tells a plugin that nobody is left to wait for at a gate that it has open, if that is so.
    pub(super) fn tell_failed(&mut self, plugin: PluginId, open: u32, gate: &str, now: Instant) {
        if self.nobody_left(gate).is_some() {
            let record = GateToPlugin::StartFailed { open };
            self.send(plugin, record, Vec::new(), now);
        }
    }

    /// What became of the program that was to provide a gate, where no other one is left to do so.
    fn nobody_left(&self, gate: &str) -> Option<&str> {
        let ended = self.starts.ended.iter();
        let mut failed = ended.filter(|ended| !ended.had_connected).rev();
        let last = failed.clone().next();
        let by_name = failed.find(|ended| is_by_name(gate, &ended.name));
        let mut sessions = self.sessions.values();
        let anybody = self.listener.is_some()
            || !self.execs.is_empty()
            || self.children.values().any(Tracked::is_starting)
            || sessions.any(|session| session.expected.name.is_some());
        Some(by_name.or(last.filter(|_| !anybody))?.why.as_str())
    }

    /// Programs that may be why nobody provides a gate, in sentences.
    fn why_absent(&self, gate: &str) -> Option<Failure> {
        if let Some(why) = self.nobody_left(gate) {
            return Some(Failure::new(Code::ProviderGone, why));
        }
        let starting = self.children.values().filter(|child| child.is_starting());
        let starting = starting.map(|child| (child.name(), child.still_starting()));
        let ended = self.starts.ended.iter();
        let ended = ended.map(|ended| (ended.name.as_str(), ended.why.clone()));
        let mut all: Vec<(&str, String)> = starting.chain(ended).collect();
        // Those that bear its name say enough.
        if all.iter().any(|(name, _)| is_by_name(gate, name)) {
            all.retain(|(name, _)| is_by_name(gate, name));
        }
        let more = all.len().saturating_sub(NAMED);
        let mut texts: Vec<String> = all.into_iter().map(|(_, text)| text).take(NAMED).collect();
        if more > 0 {
            texts.push(format!("and {more} others are not there"));
        }
        (!texts.is_empty()).then(|| Failure::new(Code::NotReady, texts.join("; ")))
    }

    pub(super) fn explain_absence(&mut self, to: PluginId, request: u32, gate: &str, now: Instant) {
        let failure = self.why_absent(gate);
        let record = SessionToPlugin::Answer { request, failure };
        self.send(to, record, Vec::new(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate of another plugin, whose name only begins alike, would fail without a reason.
    #[test]
    fn gates_belong_to_plugins_by_name_and_dot() {
        assert!(is_by_name("Gain.Apply", "gain"));
        assert!(is_by_name("gain.Apply.Fast", "Gain"));
        assert!(!is_by_name("Gainer.Apply", "gain"));
        assert!(!is_by_name("Gain", "gain"));
        assert!(!is_by_name("Gäin.Apply", "gain"));
        assert!(!is_by_name("G\u{e4}.x", "G\u{c3}"));
    }
}
