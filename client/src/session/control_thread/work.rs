//! What the control thread does: waits, and has each event handled for the plugin that it is about.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::MAX_RECORD;
use crossbeam_channel::{Receiver, Sender};
use mio::Events;
use mio::event::Event;

use super::desk::{Desk, Heard};
use super::poller::{Poller, WAKER};
use crate::base::error::{Error, Result};
use crate::session::mapping::system;
use crate::session::plugin_state::PluginState;

/// What the thread is told.
pub(super) enum Order {
    /// Hears one plugin more.
    Hear {
        number: u64,
        state: Arc<PluginState>,
        /// The process that has started this one.
        host: Option<OwnedFd>,
        done: Sender<Result<()>>,
    },
    /// Hears a plugin no longer, and drops `done` then.
    LetGo {
        number: u64,
        done: Sender<()>,
    },
    End,
}

pub(super) struct Work {
    poller: Poller,
    orders: Receiver<Order>,
    plugins: HashMap<u64, Heard>,
    buffer: Vec<u8>,
    /// Plugins for which there may be records that were not read yet.
    readable: Vec<u64>,
}

impl Work {
    pub(super) fn new(poller: Poller, orders: Receiver<Order>) -> Work {
        Work {
            poller,
            orders,
            plugins: HashMap::new(),
            buffer: vec![0; MAX_RECORD],
            readable: Vec::new(),
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
                    return plugins.for_each(|plugin| plugin.state.disconnected(&error));
                }
            }
            for event in &events {
                match event.token() {
                    WAKER => {
                        if self.obey() {
                            return;
                        }
                    }
                    _ => self.event(event),
                }
            }
            self.read_more();
            self.tidy();
        }
    }

    /// How long nothing is to be looked at, unless something happens.
    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.plugins.values().filter_map(|plugin| plugin.next_tidy);
        let next = next.min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Does as it was told; true where that was to end.
    fn obey(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Hear {
                    number,
                    state,
                    host,
                    done,
                } => {
                    let heard = Heard::new(&mut self.poller, (number, state), host);
                    let heard = heard.map_err(|error| system("the control thread", &error));
                    let outcome = heard.map(|heard| drop(self.plugins.insert(number, heard)));
                    // Who asked waits for it.
                    let _ = done.send(outcome);
                }
                Order::LetGo { number, done } => {
                    if let Some(plugin) = self.plugins.remove(&number) {
                        plugin.let_go(&mut self.poller);
                    }
                    drop(done);
                }
                Order::End => return true,
            }
        }
        false
    }

    fn desk(&mut self, number: u64) -> Option<Desk<'_>> {
        Some(Desk {
            plugin: self.plugins.get_mut(&number)?,
            poller: &mut self.poller,
            buffer: &mut self.buffer,
        })
    }

    fn event(&mut self, event: &Event) {
        let number = self.poller.plugin(event.token());
        let Some((number, mut desk)) = number.and_then(|number| Some((number, self.desk(number)?)))
        else {
            return;
        };
        let is_more = desk.event(event);
        desk.watch_writable();
        if is_more && !self.readable.contains(&number) {
            self.readable.push(number);
        }
    }

    /// Reads on where a plugin had more records than its turn allows, once for each. The poll is asked for
    /// others' events in between.
    fn read_more(&mut self) {
        for number in std::mem::take(&mut self.readable) {
            let Some(mut desk) = self.desk(number) else {
                continue;
            };
            let is_more = desk.read_socket();
            desk.watch_writable();
            if is_more {
                self.readable.push(number);
            }
        }
    }

    /// Has idle memory given back where it is time for that.
    fn tidy(&mut self) {
        let now = Instant::now();
        let is_due = |plugin: &Heard| plugin.next_tidy.is_some_and(|at| at <= now);
        let due = self.plugins.iter().filter(|(_, plugin)| is_due(plugin));
        let due: Vec<u64> = due.map(|(number, _)| *number).collect();
        for number in due {
            if let Some(mut desk) = self.desk(number) {
                desk.tidy();
                desk.watch_writable();
            }
        }
    }
}
