//! Pulses: questions to plugins' libraries about their dispatchers, and the answers.

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use callgate_layout::control::{Failure, Pulse, SessionToPlugin};
use crossbeam_channel::Sender;

use super::Reactor;
use crate::bus::protocol;
use crate::id::PluginId;

/// How many questions to one plugin may be open. A library that answers none is not asked for ever.
const MOST: usize = 64;

/// A question's number, and the channel for its answer.
type Question = (u32, Sender<io::Result<Pulse>>);

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    last: u32,
    open: HashMap<PluginId, Vec<Question>>,
}

impl Pulses {
    /// Adds a question to a plugin. Returns its number; `None` if too many are open.
    fn ask(&mut self, of: PluginId, reply: &Sender<io::Result<Pulse>>) -> Option<u32> {
        let open = self.open.entry(of).or_default();
        if open.len() >= MOST {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        open.push((self.last, reply.clone()));
        Some(self.last)
    }

    /// Takes the channel for the answer to this question.
    fn take(&mut self, of: PluginId, request: u32) -> Option<Sender<io::Result<Pulse>>> {
        let open = self.open.get_mut(&of)?;
        let at = open.iter().position(|(number, _)| *number == request)?;
        Some(open.swap_remove(at).1)
    }

    /// Forgets the questions to a plugin that has ended. Whoever waits for an answer sees that the channel is closed.
    pub(super) fn forget(&mut self, of: PluginId) {
        self.open.remove(&of);
    }
}

impl Reactor {
    /// Asks the library of the plugin of this name.
    pub(super) fn ask_pulse(&mut self, name: &str, reply: Sender<io::Result<Pulse>>, now: Instant) {
        let ready = |id: &PluginId| self.bus.member(*id).is_some_and(|member| member.ready);
        let Some(plugin) = self.bus.holder(name).filter(ready) else {
            let text = format!("plugin `{name}` is not connected");
            // Sending fails if the asker has stopped waiting.
            let _ = reply.send(Err(io::Error::new(io::ErrorKind::NotConnected, text)));
            return;
        };
        match self.pulses.ask(plugin, &reply) {
            Some(request) => self.send(plugin, SessionToPlugin::Pulse { request }, Vec::new(), now),
            None => {
                let text = format!("plugin `{name}` has not answered {MOST} times");
                let _ = reply.send(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
        }
    }

    /// The library of a plugin answers a question.
    pub(super) fn pulse_said(
        &mut self,
        from: PluginId,
        (request, pulse): (u32, Pulse),
    ) -> Result<(), Failure> {
        let reply = self.pulses.take(from, request);
        let reply = reply.ok_or_else(|| protocol("it answered what it was not asked"))?;
        let _ = reply.send(Ok(pulse));
        Ok(())
    }
}
