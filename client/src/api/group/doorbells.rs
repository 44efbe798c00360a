//! The doorbells of a group: one for each bus that its plugins are on.

use std::sync::{Arc, Weak};

use callgate_layout::Code;
use callgate_layout::bells::Bells;
use callgate_layout::control::DoorbellName;
use callgate_layout::pages::Doorbell;

use crate::base::error::{Error, Result};
use crate::link::own_memory::{OwnDoorbell, OwnMemory};
use crate::session::handshake::SharedDoorbell;

/// The most doorbells of one group. Its thread waits for all of them, and can wait for 128 words.
const MOST: usize = 32;

/// The doorbells that plugins of a group have, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Doorbells(Vec<Known>);

#[derive(Debug)]
struct Known {
    name: DoorbellName,
    bell: Weak<Doorbell>,
    bells: Weak<Bells>,
}

impl Known {
    /// The doorbell, as long as a plugin has it.
    fn get(&self) -> Option<OwnDoorbell> {
        Some(OwnDoorbell {
            bell: self.bell.upgrade()?,
            bells: self.bells.upgrade()?,
        })
    }
}

impl Doorbells {
    /// The doorbells that a plugin which connects may share: of each bus the latest.
    pub(crate) fn all(&self) -> Vec<SharedDoorbell> {
        let mut all: Vec<SharedDoorbell> = Vec::new();
        for known in self.0.iter().rev() {
            if all.iter().all(|(name, _)| name.bus != known.name.bus) {
                all.extend(known.get().map(|doorbell| (known.name, doorbell)));
            }
        }
        all
    }

    /// Takes note of the doorbell that a plugin was given.
    ///
    /// # Errors
    ///
    /// Where there are too many of them.
    pub(crate) fn add(&mut self, name: DoorbellName, memory: &OwnMemory) -> Result<()> {
        self.0.retain(|known| known.bell.strong_count() > 0);
        let is_it = |known: &Known| std::ptr::eq(known.bell.as_ptr(), &*memory.bell);
        if self.0.iter().any(is_it) {
            return Ok(());
        }
        if self.0.len() == MOST {
            let text = format!(
                "the plugins of the group are on {MOST} buses, or connections to one, already: use another group"
            );
            return Err(Error::new(Code::Overloaded, text));
        }
        self.0.push(Known {
            name,
            bell: Arc::downgrade(&memory.bell),
            bells: Arc::downgrade(&memory.bells),
        });
        Ok(())
    }
}
