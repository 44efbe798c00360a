//! Plugins in a listing: those that are connected, and supervised ones that are not.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Reactor;
use super::session::Session;
use crate::bus::Member;
use crate::listing::{FaultEntry, PluginEntry, PluginState, Transport};
use crate::supervision::{State, Status};

/// The code of a fault: a plugin's folder cannot be used.
pub(super) const BROKEN: &str = "UNUSABLE";

/// The most bytes of a reason in an error's context. The context has to fit a record even if each of these bytes is written as an escape.
const MOST_OF_REASON: usize = 512;

/// Returns the beginning of a reason, at most [`MOST_OF_REASON`] bytes.
pub(super) fn short(why: &str) -> &str {
    &why[..why.floor_char_boundary(MOST_OF_REASON)]
}

/// The last status of a supervised program that its supervisor has reported.
#[derive(Debug)]
pub(super) struct Supervised {
    status: Status,
    said: Instant,
}

/// The reported status of each supervised program, by name.
pub(super) type AllSupervised = BTreeMap<String, Supervised>;

/// Folders of plugins that cannot be used, each with the reason.
pub(super) type AllBroken = BTreeMap<PathBuf, String>;

/// The name under which a plugin is listed if its folder cannot be used: that of the folder.
pub(super) fn broken_name(folder: &Path) -> Cow<'_, str> {
    let name = folder.file_name();
    name.map_or_else(|| folder.to_string_lossy(), OsStr::to_string_lossy)
}

impl Supervised {
    fn next_try_ms(&self) -> Option<u64> {
        let left = self.status.next_try?.saturating_sub(self.said.elapsed());
        // Rounded up, because it is not started earlier.
        let millis = left.saturating_add(Duration::from_micros(999)).as_millis();
        Some(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn listed_state(&self) -> PluginState {
        match self.status.state {
            State::Starting => PluginState::Starting,
            State::Ready => PluginState::Ready,
            State::Waiting => PluginState::Backoff,
            State::Quarantined => PluginState::Quarantined,
            State::Stopping | State::Stopped => PluginState::Stopped,
        }
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

    /// Why the program provides nothing, in a sentence that says what to do.
    pub(super) fn absence(&self, name: &str) -> String {
        let status = &self.status;
        let ended = status.how_it_ended();
        let ended = ended.unwrap_or_else(|| "it was not started".to_owned());
        let pid = status.pid.map(|pid| format!(" (process {pid})"));
        let pid = pid.unwrap_or_default();
        let start = match status.takes_orders {
            true => format!("`callgate start {name}` starts it again"),
            false => "its host can start it again".to_owned(),
        };
        let text = match status.state {
            State::Starting if status.restarts > 0 => {
                format!("is being started again{pid} and is not ready yet; before that: {ended}")
            }
            State::Starting => format!("is being started{pid} and is not ready yet"),
            State::Ready => format!("runs{pid} and does not provide it"),
            State::Waiting => {
                let left = self.next_try_ms().unwrap_or_default();
                let left = Duration::from_millis(left).as_secs_f32();
                format!("has crashed and is started again in {left:.1} s: {ended}")
            }
            State::Quarantined => {
                format!("has crashed too often and is in quarantine: {ended}; {start}")
            }
            State::Stopping => format!("is being stopped{pid}"),
            State::Stopped => format!("is stopped; {start}"),
        };
        format!("plugin `{name}` {text}")
    }

    /// The same as JSON, with the keys of a listing.
    pub(super) fn context(&self, name: &str) -> Value {
        let status = &self.status;
        let fault = status.last_fault.as_ref();
        json!({
            "plugin": name,
            "state": self.listed_state(),
            "pid": status.pid,
            "restarts": status.restarts,
            "last_exit": status.last_exit.map(|exit| exit.to_string()),
            "killed": status.was_killed,
            "last_fault": fault.map(|fault| json!({"code": fault.code, "message": short(&fault.why)})),
            "next_try_ms": self.next_try_ms(),
        })
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
        entries.extend(self.broken.iter().map(broken_entry));
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

/// The entry of a folder that cannot be used.
fn broken_entry((folder, why): (&PathBuf, &String)) -> PluginEntry {
    PluginEntry {
        last_fault: Some(FaultEntry {
            code: BROKEN.to_owned(),
            message: why.clone(),
        }),
        ..entry(&broken_name(folder), PluginState::Broken)
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
