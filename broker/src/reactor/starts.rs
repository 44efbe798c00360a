//! Programs that were started and are not plugins: who waits for their gates is told of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ToPlugin};

use super::{Reactor, Timer};
use crate::child::Tracked;
use crate::listing::EndedEntry;
use crate::registry::PluginId;

/// Starts that failed, of which the broker keeps so many: the latest.
const KEPT: usize = 64;
/// How long a program may take to end that has closed its connection.
const ENDING_TIME: Duration = Duration::from_secs(1);
/// Programs that one answer names.
const NAMED: usize = 4;

/// A program that ended, or was refused, before it connected.
#[derive(Debug)]
struct FailedStart {
    name: String,
    pid: u32,
    why: String,
}

/// Starts that failed and were not tried again.
#[derive(Debug, Default)]
pub(super) struct Starts {
    failed: VecDeque<FailedStart>,
}

impl Starts {
    /// A plugin of this name is started again, or has come.
    pub(super) fn forget(&mut self, name: &str) {
        self.failed.retain(|start| start.name != name);
    }

    fn note(&mut self, start: FailedStart) {
        self.forget(&start.name);
        if self.failed.len() == KEPT {
            self.failed.pop_front();
        }
        self.failed.push_back(start);
    }

    /// For the listing.
    pub(super) fn entries(&self) -> Vec<EndedEntry> {
        let entry = |start: &FailedStart| EndedEntry {
            name: start.name.clone(),
            pid: start.pid,
            why: start.why.clone(),
        };
        self.failed.iter().map(entry).collect()
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
        self.starts.note(FailedStart {
            name: tracked.name().to_owned(),
            pid: tracked.id(),
            why,
        });
        for (plugin, open, gate) in self.bus.registry().absent_opens() {
            self.tell_failed_start(plugin, open, &gate, now);
        }
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
    pub(super) fn tell_failed_start(
        &mut self,
        plugin: PluginId,
        open: u32,
        gate: &str,
        now: Instant,
    ) {
        if let Some(why) = self.nobody_left(gate) {
            let failure = Failure::new(Code::NotReady, format!("nobody provides the gate: {why}"));
            self.send(
                plugin,
                &ToPlugin::StartFailed { open, failure },
                Vec::new(),
                now,
            );
        }
    }

    /// What became of the program that was to provide a gate, where no other one is left to do so.
    fn nobody_left(&self, gate: &str) -> Option<&str> {
        let failed = &self.starts.failed;
        let by_name = failed.iter().rfind(|start| is_by_name(gate, &start.name));
        let mut sessions = self.sessions.values();
        let anybody = self.listener.is_some()
            || !self.execs.is_empty()
            || self.children.values().any(Tracked::is_starting)
            || sessions.any(|session| session.expected.name.is_some());
        let last = failed.back().filter(|_| !anybody);
        Some(by_name.or(last)?.why.as_str())
    }

    /// Programs that may be why nobody provides a gate, in sentences; those first that bear its name.
    pub(super) fn why_absent(&self, gate: &str) -> Option<Failure> {
        let starting = self.children.values().filter(|child| child.is_starting());
        let starting = starting.map(|child| (child.name(), child.still_starting()));
        let failed = self.starts.failed.iter();
        let failed = failed.map(|start| (start.name.as_str(), start.why.clone()));
        let mut all: Vec<(&str, String)> = failed.chain(starting).collect();
        if all.iter().any(|(name, _)| is_by_name(gate, name)) {
            all.retain(|(name, _)| is_by_name(gate, name));
        }
        let more = all.len().saturating_sub(NAMED);
        let mut texts: Vec<String> = all.into_iter().map(|(_, text)| text).take(NAMED).collect();
        if more > 0 {
            texts.push(format!("so have {more} others not connected"));
        }
        (!texts.is_empty()).then(|| Failure::new(Code::NotReady, texts.join("; ")))
    }

    pub(super) fn explain_absence(&mut self, to: PluginId, request: u32, gate: &str, now: Instant) {
        let failure = self.why_absent(gate);
        let record = ToPlugin::Answer { request, failure };
        self.send(to, &record, Vec::new(), now);
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
