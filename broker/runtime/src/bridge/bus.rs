//! State that all bridges of a runtime share, and the trait by which a bridge reaches the loop and the worker.

use std::collections::HashSet;
use std::sync::Arc;

use callgate_client::{Error, Group, Plugin, Result};
use parking_lot::RwLock;

use super::ids::Ids;

/// State that all bridges of a runtime share.
#[derive(Debug)]
pub(crate) struct Bus {
    pub(super) group: Group,
    /// The numbers on the bus of the plugins that are bridges. Only their events may carry a version as a second argument.
    bridged: RwLock<HashSet<u64>>,
    /// The ids of events.
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

    /// The group of the client whose threads serve all bridges.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn add(&self, plugin: &Plugin) {
        self.bridged.write().insert(plugin.id());
    }

    pub(super) fn remove(&self, plugin: &Plugin) {
        self.bridged.write().remove(&plugin.id());
    }

    /// Whether a plugin is a bridge of this runtime.
    pub(super) fn is_bridged(&self, plugin: u64) -> bool {
        self.bridged.read().contains(&plugin)
    }
}

/// Work for the worker thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How a bridge reaches the runtime's threads. The methods may be called on any thread and do not wait. They never call the bridge before
/// they return.
pub(crate) trait Tell: Send + Sync {
    /// Has the loop call [`Bridge::sweep`](super::Bridge::sweep) soon.
    fn wake(&self);

    /// Has the worker run a job, after all jobs that it was given before. The job may wait.
    fn work(&self, job: Job);

    /// Reports that the queue of a subscription with the policy `mark_unhealthy` is full: the child reads too slowly.
    fn unhealthy(&self, subscription: &str);

    /// Writes a line to the plugin's log about a problem that its author must know and the child is not told.
    fn complain(&self, text: &dyn Fn() -> String);

    /// Reports that the session has ended without being closed by the runtime: the child can neither be called nor make calls any more.
    fn left(&self, why: &Error);
}
