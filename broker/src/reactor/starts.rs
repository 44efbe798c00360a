//! Programs that were started and are not plugins, or not any more. Plugins that wait for their gates are told of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::Failure;

use super::{Reactor, Timer};
use crate::child::Tracked;
use crate::id::PluginId;
use crate::listing::EndedEntry;

/// How many programs that have ended are remembered: the latest ones.
const KEPT: usize = 64;
/// How long a program that has closed its connection may take to end.
const ENDING_TIME: Duration = Duration::from_secs(1);

/// A program that has ended, or was refused.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pid: u32,
    pub(super) why: String,
    /// Whether it was a plugin before that.
    pub(super) had_connected: bool,
}

/// Programs that have ended and were not started again; one for each name.
#[derive(Debug, Default)]
pub(super) struct Starts {
    ended: VecDeque<Ended>,
}

impl Starts {
    /// Forgets the program of this name: it is started again, or a plugin of this name has come.
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

    /// The remembered programs, the oldest first.
    pub(super) fn ended(&self) -> impl DoubleEndedIterator<Item = &Ended> + Clone {
        self.ended.iter()
    }

    /// The entries of a listing.
    pub(super) fn entries(&self) -> Vec<EndedEntry> {
        let entry = |start: &Ended| EndedEntry {
            name: start.name.clone(),
            pid: start.pid,
            why: start.why.clone(),
        };
        self.ended.iter().map(entry).collect()
    }
}

impl Reactor {
    /// A program will not become a plugin: tells whoever has started it, and plugins that wait for its gates.
    pub(super) fn start_failed(&mut self, tracked: &Tracked, why: String, now: Instant) {
        // Of one that is supervised its supervisor says so.
        match self.supervised.contains_key(tracked.name()) {
            true => tracing::debug!("{why}"),
            false => tracing::warn!("{why}"),
        }
        tracked.failed(why.clone());
        self.note_end(tracked, why);
        for (plugin, open, gate) in self.bus.registry().absent_opens() {
            self.tell_failed(plugin, open, &gate, now);
        }
    }

    /// Notes the end of a program. If it was a plugin, nobody is told at once: whoever has started it may start it again, and plugins that
    /// wait for its gates wait for that.
    pub(super) fn note_end(&mut self, tracked: &Tracked, why: String) {
        self.starts.note(Ended {
            name: tracked.name().to_owned(),
            pid: tracked.id(),
            why,
            had_connected: tracked.has_connected(),
        });
    }

    /// A plugin takes part now, whoever has started it.
    pub(super) fn start_succeeded(&mut self, plugin: PluginId) {
        if let Some(tracked) = self.children.get(&plugin.0) {
            tracked.connected();
        }
        if let Some(member) = self.bus.member(plugin) {
            self.starts.forget(&member.identity.name);
        }
    }

    /// A session has ended. If it was that of a program that the broker was starting, the start may have failed.
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
            // As a rule, the program is ending; how it ends is known in a moment.
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

    /// A program has closed its connection before it said hello, and has not ended.
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
}
