//! The present life of a plugin that has schedules: whether it still goes on.

use std::time::{Duration, Instant};

use callgate_client::dynamic::{Gate, open_json_later};
use callgate_client::{Plugin, Result, Watch};

use crate::mailbox::Caller;

/// How long a plugin that registers a schedule may go on before it can be called: it may still be starting.
const START: Duration = Duration::from_secs(60);

/// How a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It can be called.
    There,
    /// It has not been there yet.
    NotYet,
    /// It was there and is not, or it has not come.
    Gone,
}

/// One life of a plugin.
pub(crate) struct Life {
    caller: Caller,
    gate: Gate,
    watch: Watch,
    /// Which life of the gate is this plugin's, once it was there.
    generation: Option<u64>,
    is_gone: bool,
    until: Instant,
}

impl Life {
    /// The life of who calls, which is asked for anew: what was known of an earlier one says nothing of it.
    pub(crate) fn new(services: &Plugin, caller: &Caller, tick: Duration) -> Result<Life> {
        let gate = format!("{}.schedule.tick", caller.name);
        Ok(Life {
            caller: caller.clone(),
            // The thread that has the stores of all does not wait for a plugin that stands still.
            watch: services.watch_later(&gate)?,
            gate: open_json_later(services, &gate)?.with_timeout(tick),
            generation: None,
            is_gone: false,
            until: Instant::now() + START,
        })
    }

    /// The gate that is called for a tick.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether this is the life of who calls.
    pub(crate) fn is_of(&self, caller: &Caller) -> bool {
        self.caller.number == caller.number
    }

    /// How the plugin stands now, as far as the broker has said.
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
