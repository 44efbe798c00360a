//! The present life of a plugin that has registered schedules: whether it still goes on.

use std::time::{Duration, Instant};

use callgate_client::dynamic::{Gate, open_json_later};
use callgate_client::{Plugin, Result, Watch};

use crate::mailbox::Caller;

/// How long a plugin may take, from when it registers a schedule, until it can be called: it may still be starting.
const START: Duration = Duration::from_secs(60);

/// The state of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It can be called.
    There,
    /// It could not be called yet, and may still be starting.
    NotYet,
    /// It could be called and cannot any more, or its time to start is over.
    Gone,
}

/// One life of a plugin, which ends when the plugin ends or loses its gate.
pub(crate) struct Life {
    caller: Caller,
    gate: Gate,
    watch: Watch,
    /// The life of the gate in which this plugin provides it; `None` until it does.
    generation: Option<u64>,
    is_gone: bool,
    until: Instant,
}

impl Life {
    /// Begins to watch the present life of the caller. What was known of an earlier life does not apply to it.
    pub(crate) fn new(services: &Plugin, caller: &Caller, tick: Duration) -> Result<Life> {
        let gate = format!("{}.schedule.tick", caller.name);
        Ok(Life {
            caller: caller.clone(),
            // Without waiting for the gate: this thread serves the stores of all plugins, and must not wait for one that stands still.
            watch: services.watch_later(&gate)?,
            gate: open_json_later(services, &gate)?.with_timeout(tick),
            generation: None,
            is_gone: false,
            until: Instant::now() + START,
        })
    }

    /// The gate to which ticks are sent.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether this is the caller's present life.
    pub(crate) fn is_of(&self, caller: &Caller) -> bool {
        self.caller.number == caller.number
    }

    /// Returns the state of the plugin, as far as the broker has reported it.
    pub(crate) fn look(&mut self, now: Instant) -> Stands {
        loop {
            match self.watch.next(Duration::ZERO) {
                Ok(Some(event)) => self.note(event.owner.as_deref(), event.generation),
                Ok(None) => break,
                Err(_) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        match self.generation {
            _ if self.is_gone => Stands::Gone,
            Some(_) => Stands::There,
            None if now < self.until => Stands::NotYet,
            None => Stands::Gone,
        }
    }

    fn note(&mut self, owner: Option<&str>, generation: u64) {
        let is_own = owner == Some(&self.caller.name);
        match self.generation {
            None if is_own => self.generation = Some(generation),
            None => {}
            Some(own) => self.is_gone |= !is_own || own != generation,
        }
    }
}
