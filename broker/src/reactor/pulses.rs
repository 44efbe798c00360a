//! How dispatchers of plugins stand: who asks, and what their libraries answer.

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use callgate_layout::control::{Failure, Pulse, SessionToPlugin};
use crossbeam_channel::Sender;

use super::Reactor;
use crate::bus::protocol;
use crate::id::PluginId;

/// Questions to one plugin that may be open. A library that answers none is not asked for ever.
const MOST: usize = 64;

/// A question by its number, and the way back to who has asked it.
type Question = (u32, Sender<io::Result<Pulse>>);

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    last: u32,
    open: HashMap<PluginId, Vec<Question>>,
}

impl Pulses {
    /// The number of one more question to a plugin; `None` where too many are open.
    fn ask(&mut self, of: PluginId, reply: &Sender<io::Result<Pulse>>) -> Option<u32> {
        let open = self.open.entry(of).or_default();
        if open.len() >= MOST {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        open.push((self.last, reply.clone()));
        Some(self.last)
    }

    /// Who has asked this.
    fn take(&mut self, of: PluginId, request: u32) -> Option<Sender<io::Result<Pulse>>> {
        let open = self.open.get_mut(&of)?;
        let at = open.iter().position(|(number, _)| *number == request)?;
        Some(open.swap_remove(at).1)
    }

    /// A plugin answers no more: those who have asked are told by the end of the way back.
    pub(super) fn forget(&mut self, of: PluginId) {
        self.open.remove(&of);
    }
}

impl Reactor {
    /// Asks the library of a plugin.
    pub(super) fn ask_pulse(&mut self, name: &str, reply: Sender<io::Result<Pulse>>, now: Instant) {
        let ready = |id: &PluginId| self.bus.member(*id).is_some_and(|member| member.ready);
        let Some(plugin) = self.bus.holder(name).filter(ready) else {
            let text = format!("plugin `{name}` is not connected");
            // Who asked may have stopped waiting.
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

    /// The library of a plugin answers.
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
