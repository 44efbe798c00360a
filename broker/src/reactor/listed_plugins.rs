//! Plugins in a listing: those that are connected, and supervised ones that are not.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use super::Reactor;
use super::session::Session;
use crate::bus::Member;
use crate::listing::{FaultEntry, PluginEntry, PluginState, Transport};
use crate::supervision::{State, Status};

/// The code of a fault: a plugin's folder cannot be used.
pub(super) const BROKEN: &str = "UNUSABLE";

/// The last status of a supervised program that its supervisor has reported.
#[derive(Debug)]
pub(super) struct Supervised {
    status: Status,
    said: Instant,
}

/// The reported status of each supervised program, by name.
pub(super) type AllSupervised = BTreeMap<String, Supervised>;

/// A plugin whose folder cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// The name under which it is listed.
    pub(crate) name: String,
    /// The reason.
    pub(crate) why: String,
}

/// Plugins whose folders cannot be used, by folder.
pub(super) type AllBroken = BTreeMap<PathBuf, Unusable>;

impl Supervised {
    fn next_try_ms(&self) -> Option<u64> {
        self.now().next_try_ms()
    }

    fn listed_state(&self) -> PluginState {
        self.status.state.into()
    }

    pub(super) fn state(&self) -> State {
        self.status.state
    }

    /// Whether a runtime supervises the program and is about to start its process.
    pub(super) fn is_being_launched(&self) -> bool {
        let status = &self.status;
        status.takes_orders && status.state == State::Starting && status.pid.is_none()
    }

    /// Whether the program will be ready without being asked for: it is starting, or will be started again.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self.status.state, State::Starting | State::Waiting)
    }

    /// The status as it is now, some time after it was reported.
    fn now(&self) -> Status {
        let mut status = self.status.clone();
        let next_try = status
            .next_try
            .map(|left| left.saturating_sub(self.said.elapsed()));
        status.next_try = next_try;
        status
    }

    /// Why the program provides nothing, in a sentence that says what to do.
    pub(super) fn absence(&self, name: &str) -> String {
        self.now().absence(name)
    }

    /// The same as JSON, with the keys of a listing.
    pub(super) fn context(&self, name: &str) -> Value {
        self.now().to_context(name)
    }

    /// Adds what is known of the program to the entry of its connection.
    fn add_to(&self, entry: &mut PluginEntry) {
        entry.transport = self.status.transport;
        entry.restarts = self.status.restarts;
        entry.last_exit = self.status.last_exit.map(|exit| exit.to_string());
        entry.killed = self.status.was_killed;
        let fault = self.status.last_fault.as_ref();
        entry.last_fault = fault.map(|fault| FaultEntry {
            code: fault.code.to_owned(),
            message: fault.why.clone(),
        });
        entry.next_try_ms = self.next_try_ms();
        if let (true, Some(version)) = (entry.version.is_empty(), &self.status.version) {
            entry.version.clone_from(version);
        }
        if self.status.transport == Transport::Stdio {
            // The connection belongs to the runtime, so process and state are those of the program.
            entry.pid = self.status.pid;
            entry.state = self.listed_state();
        } else if entry.state == PluginState::Starting && self.has_ended() {
            // The supervisor has noticed the end of the program's process before this broker has.
            entry.pid = None;
            entry.state = self.listed_state();
        }
    }

    /// Whether no process of the program is running.
    fn has_ended(&self) -> bool {
        matches!(
            self.status.state,
            State::Waiting | State::Quarantined | State::Stopped
        )
    }

    /// The entry of a program that is not connected.
    fn entry(&self, name: &str) -> PluginEntry {
        let mut entry = entry(name, self.listed_state());
        entry.pid = self.status.pid;
        self.add_to(&mut entry);
        entry
    }
}

impl Reactor {
    /// A supervisor reports the status of a program, or that it does not supervise it any more.
    pub(super) fn set_status(&mut self, name: String, status: Option<Status>, now: Instant) {
        match status {
            Some(status) => {
                let said = Supervised { status, said: now };
                self.supervised.insert(name, said);
            }
            None => drop(self.supervised.remove(&name)),
        }
    }

    /// Entries for plugins that have said hello, for programs that were started and have not, for supervised programs that are neither, and
    /// for folders that cannot be used.
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
        entries.extend(self.broken.values().map(broken_entry));
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

/// The entry of a program that the broker has started and that has not said hello.
fn starting_entry(session: &Session) -> Option<PluginEntry> {
    let name = session.expected.name.as_deref()?;
    Some(PluginEntry {
        pid: Some(session.pid),
        ..entry(name, PluginState::Starting)
    })
}

/// The entry of a plugin whose folder cannot be used.
fn broken_entry(unusable: &Unusable) -> PluginEntry {
    PluginEntry {
        last_fault: Some(FaultEntry {
            code: BROKEN.to_owned(),
            message: unusable.why.clone(),
        }),
        ..entry(&unusable.name, PluginState::Broken)
    }
}

/// The entry of a plugin of which only name and state are known.
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
        killed: false,
        last_fault: None,
        next_try_ms: None,
        calls: 0,
        errors: 0,
        json_calls: 0,
    }
}
