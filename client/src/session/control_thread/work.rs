//! The control thread's loop: it waits for events, and has each handled for the plugin to which it belongs.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{MAX_RECORD, SessionToBroker};
use crossbeam_channel::{Receiver, Sender};
use mio::Events;
use mio::event::Event;

use super::pace::Pace;
use super::plugin::{PluginWork, WatchedPlugin};
use super::poller::{Poller, WAKER};
use crate::base::error::{Error, Result};
use crate::serve::pulse::pulse;
use crate::session::mapping::system;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;

/// Commands to the control thread.
pub(super) enum Command {
    /// Begins to read the records of one more membership.
    Add {
        number: u64,
        state: Arc<PluginState>,
        membership: Arc<Membership>,
        /// The process of the host.
        host: Option<OwnedFd>,
        done: Sender<Result<()>>,
    },
    /// Stops reading a membership's records, and then drops `done`.
    Remove {
        number: u64,
        done: Sender<()>,
    },
    Stop,
}

pub(super) struct Work {
    poller: Poller,
    commands: Receiver<Command>,
    plugins: HashMap<u64, WatchedPlugin>,
    buffer: Vec<u8>,
    /// Plugins whose sockets may have records that were not read yet.
    readable: Vec<u64>,
    /// Limits the time that goes into schemas.
    pace: Pace,
    /// The plugin that had the last turn with its schemas.
    last_turn: u64,
}

impl Work {
    pub(super) fn new(poller: Poller, commands: Receiver<Command>) -> Work {
        Work {
            poller,
            commands,
            plugins: HashMap::new(),
            buffer: vec![0; MAX_RECORD],
            readable: Vec::new(),
            pace: Pace::default(),
            last_turn: 0,
        }
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            match self.poller.wait(&mut events, self.patience()) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let text = format!("waiting for the broker: {error}");
                    let error = Error::new(Code::System, text);
                    let plugins = self.plugins.values();
                    return plugins
                        .for_each(|plugin| plugin.state.disconnected(&plugin.membership, &error));
                }
            }
            for event in &events {
                match event.token() {
                    WAKER => {
                        if self.run_commands() {
                            return;
                        }
                        self.watch_writable();
                    }
                    _ => self.event(event),
                }
            }
            self.read_more();
            self.say_pulses();
            self.look_at_times();
            self.go_on_with_schemas();
        }
    }

    /// How long the thread may sleep if nothing happens.
    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.plugins.values().filter_map(WatchedPlugin::next);
        let turn = self.pace.next().filter(|_| self.pace.is_awaited);
        let next = next.chain(turn).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Carries out the commands. Returns `true` if the thread has to stop.
    fn run_commands(&mut self) -> bool {
        while let Ok(order) = self.commands.try_recv() {
            match order {
                Command::Add {
                    number,
                    state,
                    membership,
                    host,
                    done,
                } => {
                    let plugin =
                        WatchedPlugin::new(&mut self.poller, (number, state, membership), host);
                    let plugin = plugin.map_err(|error| system("the control thread", &error));
                    let outcome = plugin.map(|plugin| drop(self.plugins.insert(number, plugin)));
                    // The caller of `ControlThread::add` waits for it.
                    let _ = done.send(outcome);
                }
                Command::Remove { number, done } => {
                    if let Some(plugin) = self.plugins.remove(&number) {
                        plugin.unwatch(&mut self.poller);
                    }
                    drop(done);
                }
                Command::Stop => return true,
            }
        }
        false
    }

    /// Has the poll report when there is room for records that other threads have queued.
    fn watch_writable(&mut self) {
        let waits = |plugin: &WatchedPlugin| !plugin.membership.connection.outgoing().is_empty();
        let waiting = self.plugins.iter().filter(|(_, plugin)| waits(plugin));
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        for number in waiting {
            if let Some(mut work) = self.work(number) {
                work.watch_writable();
            }
        }
    }

    fn work(&mut self, number: u64) -> Option<PluginWork<'_>> {
        Some(PluginWork {
            plugin: self.plugins.get_mut(&number)?,
            poller: &mut self.poller,
            pace: &mut self.pace,
            buffer: &mut self.buffer,
        })
    }

    fn event(&mut self, event: &Event) {
        let number = self.poller.plugin(event.token());
        let Some((number, mut work)) = number.and_then(|number| Some((number, self.work(number)?)))
        else {
            return;
        };
        let is_more = work.event(event);
        work.watch_writable();
        if is_more && !self.readable.contains(&number) {
            self.readable.push(number);
        }
    }

    /// Reads on for plugins that had more records than one turn allows, one more turn for each. Between these
    /// rounds the thread polls for other events.
    fn read_more(&mut self) {
        for number in std::mem::take(&mut self.readable) {
            let Some(mut work) = self.work(number) else {
                continue;
            };
            let is_more = work.read_socket();
            work.watch_writable();
            if is_more {
                self.readable.push(number);
            }
        }
    }

    /// Answers brokers that have asked how the dispatcher is doing, which serves all plugins of this thread.
    fn say_pulses(&mut self) {
        let asked = self
            .plugins
            .iter()
            .filter(|(_, plugin)| !plugin.asked.is_empty());
        let asked: Vec<u64> = asked.map(|(number, _)| *number).collect();
        for number in asked {
            let Some(plugin) = self.plugins.get_mut(&number) else {
                continue;
            };
            let provided = &plugin.membership.provided;
            let has_looked = plugin
                .looks
                .is_none_or(|version| provided.has_looked(version));
            plugin.looks = Some(provided.have_it_look());
            let requests = std::mem::take(&mut plugin.asked);
            let all = self
                .plugins
                .values()
                .map(|plugin| &*plugin.membership.provided);
            let pulse = pulse(all, has_looked);
            if let Some(mut work) = self.work(number) {
                for request in requests {
                    work.send(&SessionToBroker::Pulse { request, pulse }.into());
                }
                work.watch_writable();
            }
        }
    }

    /// Has idle memory given back, and ends the links of peers that have ended, for the plugins for which that is due.
    fn look_at_times(&mut self) {
        let now = Instant::now();
        let is_due = |plugin: &WatchedPlugin| plugin.next().is_some_and(|at| at <= now);
        let due = self.plugins.iter().filter(|(_, plugin)| is_due(plugin));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            if let Some(mut work) = self.work(number) {
                work.end_untold();
                if work.plugin.next_tidy.is_some_and(|at| at <= now) {
                    work.tidy();
                }
                work.watch_writable();
            }
        }
    }

    /// If the pace allows, gives the plugins that wait for it a turn with their schemas; begins after the plugin
    /// that had the last turn.
    fn go_on_with_schemas(&mut self) {
        if !self.pace.is_awaited || !self.pace.allows(Instant::now()) {
            return;
        }
        self.pace.is_awaited = false;
        let waiting = self.plugins.iter();
        let waiting = waiting.filter(|(_, plugin)| {
            plugin.schemas.is_step_due() || plugin.feed_schemas.is_step_due()
        });
        let mut waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        waiting.sort_unstable_by_key(|number| (*number <= self.last_turn, *number));
        for number in waiting {
            if self.pace.allows(Instant::now()) {
                self.last_turn = number;
            }
            if let Some(mut work) = self.work(number) {
                work.take_turn_with_schemas();
                work.watch_writable();
            }
        }
    }
}
