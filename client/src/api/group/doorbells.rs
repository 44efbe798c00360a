//! The doorbells of a group: one for each bus that its plugins are on.

use std::sync::{Arc, Weak};

use callgate_layout::Code;
use callgate_layout::bells::Bells;
use callgate_layout::control::DoorbellName;
use callgate_layout::pages::Doorbell;

use crate::base::error::{Error, Result};
use crate::call::sent::{Sender, SentCalls};
use crate::link::own_memory::{OwnDoorbell, OwnMemory, SentBell};
use crate::link::topic_words::TopicWords;
use crate::session::handshake::SharedDoorbell;

/// The most doorbells that one group may have: its thread sleeps on all of them at once, and the kernel lets a
/// thread sleep on 128 words at most.
const MOST: usize = 32;

/// The doorbells that plugins of a group were given, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Doorbells(Vec<Known>);

#[derive(Debug)]
struct Known {
    name: DoorbellName,
    bell: Weak<Doorbell>,
    bells: Weak<Bells>,
    sent_bell: Weak<SentBell>,
    topics: Weak<TopicWords>,
    sent: Weak<SentCalls>,
}

impl Known {
    /// The doorbell; `None` once no plugin has it any more.
    fn get(&self) -> Option<OwnDoorbell> {
        Some(OwnDoorbell {
            bell: self.bell.upgrade()?,
            bells: self.bells.upgrade()?,
            sent: self.sent_bell.upgrade()?,
            topics: self.topics.upgrade()?,
        })
    }

    /// Counts one more plugin that sends calls by this doorbell, and returns its handle.
    fn sender(&mut self) -> Sender {
        let before = self.sent.upgrade().and_then(Sender::one_more);
        let sender = before.unwrap_or_else(Sender::first);
        self.sent = Arc::downgrade(sender.calls());
        sender
    }
}

impl Doorbells {
    /// The doorbells that a connecting plugin may share: the newest one of each bus.
    pub(crate) fn all(&self) -> Vec<SharedDoorbell> {
        let mut all: Vec<SharedDoorbell> = Vec::new();
        for known in self.0.iter().rev() {
            if all.iter().all(|(name, _)| name.bus != known.name.bus) {
                all.extend(known.get().map(|doorbell| (known.name, doorbell)));
            }
        }
        all
    }

    /// Remembers the doorbell that a plugin was given when it came back to a broker.
    ///
    /// # Errors
    ///
    /// `SYSTEM` if the group has 32 doorbells already.
    pub(crate) fn renew(
        &mut self,
        name: DoorbellName,
        memory: &OwnMemory,
        sender: &Sender,
    ) -> Result<()> {
        self.note(name, memory, Arc::downgrade(sender.calls()))
    }

    /// Remembers the doorbell that a plugin was given. Returns the plugin's handle on the calls that are sent by
    /// it.
    ///
    /// # Errors
    ///
    /// `SYSTEM` if the group has 32 doorbells already.
    pub(crate) fn add(&mut self, name: DoorbellName, memory: &OwnMemory) -> Result<Sender> {
        let is_it = |known: &&mut Known| std::ptr::eq(known.bell.as_ptr(), &*memory.bell);
        if let Some(known) = self.0.iter_mut().find(is_it) {
            return Ok(known.sender());
        }
        let sender = Sender::first();
        self.note(name, memory, Arc::downgrade(sender.calls()))?;
        Ok(sender)
    }

    fn note(
        &mut self,
        name: DoorbellName,
        memory: &OwnMemory,
        sent: Weak<SentCalls>,
    ) -> Result<()> {
        self.0.retain(|known| known.bell.strong_count() > 0);
        let is_it = |known: &Known| std::ptr::eq(known.bell.as_ptr(), &*memory.bell);
        if self.0.iter().any(is_it) {
            return Ok(());
        }
        if self.0.len() == MOST {
            let text = format!(
                "the plugins of the group are on {MOST} buses, or connections to one, already: use another group"
            );
            return Err(Error::new(Code::System, text));
        }
        self.0.push(Known {
            name,
            bell: Arc::downgrade(&memory.bell),
            bells: Arc::downgrade(&memory.bells),
            sent_bell: Arc::downgrade(&memory.sent),
            topics: Arc::downgrade(&memory.topics),
            sent,
        });
        Ok(())
    }
}
