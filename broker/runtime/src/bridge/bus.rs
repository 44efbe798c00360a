//! What bridges share, and what each is connected with: the group whose threads they use, the loop and the worker.

use std::collections::HashSet;
use std::sync::Arc;

use callgate_client::{Error, Group, Plugin, Result};
use parking_lot::RwLock;

use super::ids::Ids;

/// What all bridges of a runtime share.
#[derive(Debug)]
pub(crate) struct Bus {
    pub(super) group: Group,
    /// The plugins that are bridges, by their numbers on the bus: their events may have a version.
    bridged: RwLock<HashSet<u64>>,
    /// Of events.
    pub(super) events: Ids,
}

impl Bus {
    /// # Errors
    ///
    /// As [`Group::new`].
    pub(crate) fn new() -> Result<Arc<Bus>> {
        Ok(Arc::new(Bus {
            group: Group::new()?,
            bridged: RwLock::default(),
            events: Ids::new(),
        }))
    }

    /// Who serves all of them.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn add(&self, plugin: &Plugin) {
        self.bridged.write().insert(plugin.id());
    }

    pub(super) fn remove(&self, plugin: &Plugin) {
        self.bridged.write().remove(&plugin.id());
    }

    /// Whether a plugin is a bridge of this runtime's.
    pub(super) fn is_bridged(&self, plugin: u64) -> bool {
        self.bridged.read().contains(&plugin)
    }
}

/// What the worker runs.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How a bridge reaches the threads of the runtime: from any thread, and without waiting. Nothing here calls the bridge back at once.
pub(crate) trait Tell: Send + Sync {
    /// Has the loop call [`Bridge::sweep`](super::Bridge::sweep) soon.
    fn wake(&self);

    /// Has the worker run this, which may wait, after everything that it was given before.
    fn work(&self, job: Job);

    /// A subscription with the policy `mark_unhealthy` has no room: the child is too slow.
    fn unhealthy(&self, subscription: &str);

    /// What the child's author has to know, and the child is not told: a line for the plugin's log.
    fn complain(&self, text: &dyn Fn() -> String);

    /// The session has ended, and not because it was closed: the child can neither be called nor call any more.
    fn left(&self, why: &Error);
}
