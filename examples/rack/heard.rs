//! What the host hears from its plugins besides their answers: which parameters have changed.
//!
//! It subscribes once, before the plugins are started. A plugin that is killed and started again is heard again.

use callgate_client::{EventNotice, Events, Plugin, Received, Result};

use crate::cli::Role;

/// How many events of a plugin are taken at once.
const BATCH: usize = 64;

/// What was heard from all plugins, in the order of their roles.
pub(crate) struct Heard {
    plugins: Vec<(Events<(String, f32)>, Changes)>,
}

/// What a plugin has announced about its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// How many changes of parameters there were, including the first values.
    pub(crate) count: u64,
    /// How many processes of the plugin, one after the other, sent events.
    pub(crate) processes: u64,
}

impl Heard {
    /// Subscribes to all plugins, also to those that come later. Nothing is missed from here on.
    pub(crate) fn subscribe(host: &Plugin) -> Result<Heard> {
        let hear = |role: Role| Ok((host.events(role.changed())?, Changes::default()));
        let plugins = Role::ALL.into_iter().map(hear);
        Ok(Heard {
            plugins: plugins.collect::<Result<_>>()?,
        })
    }

    /// Takes the events that have arrived. An event that a plugin sent before it answered a call has arrived when the
    /// call returns.
    pub(crate) fn look(&mut self) -> Result<()> {
        for (events, changes) in &mut self.plugins {
            loop {
                let taken = events.drain(BATCH)?;
                for received in &taken {
                    changes.add(received);
                }
                if taken.len() < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What each plugin has announced, up to the last look.
    pub(crate) fn changes(&self) -> [Changes; Role::ALL.len()] {
        std::array::from_fn(|role| self.plugins[role].1)
    }
}

impl Changes {
    fn add(&mut self, received: &Received<(String, f32)>) {
        match received {
            Received::Event(_) => self.count += 1,
            Received::Notice(EventNotice::Here { .. }) => self.processes += 1,
            Received::Notice(_) => {}
        }
    }
}
