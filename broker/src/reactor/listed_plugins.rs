//! Plugins as the listing shows them: those that are connected, and those that are supervised besides.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::Reactor;
use super::session::Session;
use crate::bus::Member;
use crate::listing::{PluginEntry, PluginState, Transport};
use crate::supervision::{State, Status};

/// What was said last of a supervised program.
#[derive(Debug)]
pub(super) struct Supervised {
    status: Status,
    said: Instant,
}

/// What was said of supervised programs, by their names.
pub(super) type AllSupervised = BTreeMap<String, Supervised>;

impl Supervised {
    fn next_try_ms(&self) -> Option<u64> {
        let left = self.status.next_try?.saturating_sub(self.said.elapsed());
        // Rounded up: it is not started earlier.
        let millis = left.saturating_add(Duration::from_micros(999)).as_millis();
        Some(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn state(&self) -> PluginState {
        match self.status.state {
            State::Starting => PluginState::Starting,
            State::Ready => PluginState::Ready,
            State::Waiting => PluginState::Backoff,
            State::Quarantined => PluginState::Quarantined,
            State::Stopping | State::Stopped => PluginState::Stopped,
        }
    }

    /// Adds what is known of the program to what is known of the connection.
    fn add_to(&self, entry: &mut PluginEntry) {
        entry.transport = self.status.transport;
        entry.restarts = self.status.restarts;
        entry.last_exit = self.status.last_exit.map(|exit| exit.to_string());
        entry.next_try_ms = self.next_try_ms();
        if self.status.transport == Transport::Stdio {
            // The connection is the runtime's.
            entry.pid = self.status.pid;
            entry.state = self.state();
        }
    }

    /// Of a program that is not connected.
    fn entry(&self, name: &str) -> PluginEntry {
        let mut entry = entry(name, self.state());
        entry.pid = self.status.pid;
        self.add_to(&mut entry);
        entry
    }
}

impl Reactor {
    /// Somebody says how a program stands that it supervises, or that it does not any more.
    pub(super) fn set_status(&mut self, name: String, status: Option<Status>, now: Instant) {
        match status {
            Some(status) => {
                let said = Supervised { status, said: now };
                self.supervised.insert(name, said);
            }
            None => drop(self.supervised.remove(&name)),
        }
    }

    /// Those that said hello, those that were started and have not, and supervised ones that are neither.
    pub(super) fn plugin_entries(&self, own_pid: u32) -> Vec<PluginEntry> {
        let members = self.bus.members();
        let members = members.map(|(_, member)| member_entry(member, own_pid));
        let starting = self.sessions.values().filter_map(|session| {
            let is_starting = self.bus.member(session.id).is_none();
            starting_entry(session).filter(|_| is_starting)
        });
        let mut entries: Vec<PluginEntry> = members.chain(starting).collect();
        for entry in &mut entries {
            if let Some(supervised) = self.supervised.get(&entry.name) {
                supervised.add_to(entry);
            }
        }
        let listed: HashSet<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        let others = self.supervised.iter();
        let others = others.filter(|(name, _)| !listed.contains(*name));
        entries.extend(others.map(|(name, supervised)| supervised.entry(name)));
        entries
    }
}

fn member_entry(member: &Member, own_pid: u32) -> PluginEntry {
    let state = match member.ready {
        true => PluginState::Ready,
        false => PluginState::Starting,
    };
    PluginEntry {
        display_name: member.identity.display_name.clone(),
        version: member.identity.version.clone(),
        pid: Some(member.pid),
        transport: match member.pid == own_pid {
            true => Transport::InProcess,
            false => Transport::Shm,
        },
        draining: member.is_draining(),
        ..entry(&member.identity.name, state)
    }
}

/// What the broker started and has not said hello.
fn starting_entry(session: &Session) -> Option<PluginEntry> {
    let name = session.expected.name.as_deref()?;
    Some(PluginEntry {
        pid: Some(session.pid),
        ..entry(name, PluginState::Starting)
    })
}

/// Of a plugin that nothing else is known of.
fn entry(name: &str, state: PluginState) -> PluginEntry {
    PluginEntry {
        name: name.to_owned(),
        display_name: name.to_owned(),
        version: String::new(),
        pid: None,
        transport: Transport::Shm,
        state,
        draining: false,
        restarts: 0,
        last_exit: None,
        next_try_ms: None,
        calls: 0,
        errors: 0,
        json_calls: 0,
    }
}
