//! What the loop is told by other threads.

use std::sync::Arc;

use callgate::supervision::State;
use crossbeam_channel::Sender;

use super::life::Life;
use super::member::Member;
use super::{Name, Plan, PluginStatus};
use crate::log::Log;
use crate::process::Stdin;

pub(crate) enum Message {
    /// The worker has started a child for this life, or failed to.
    Begun {
        name: Name,
        life: u64,
        outcome: Result<Box<Life>, String>,
    },
    /// The worker has let others call it, or failed to.
    Offered {
        life: u64,
        outcome: Result<(), String>,
    },
    /// The queue to a child is full, or the child reads no more.
    Stdin {
        life: u64,
    },
    /// A member is to be swept, and can perhaps be heard again.
    Nudge {
        life: u64,
    },
    /// Somebody wants something of a plugin.
    Request {
        name: Name,
        request: Request,
        answer: Sender<Result<(), Refusal>>,
    },
    /// A plugin is to be supervised.
    Add {
        plan: Plan,
        log: Arc<Log>,
    },
    List {
        answer: Sender<Vec<PluginStatus>>,
    },
    Find {
        name: Name,
        answer: Sender<Option<Found>>,
    },
    /// Is told when the plugin is in one of these states.
    Await {
        name: Name,
        states: Vec<State>,
        answer: Sender<PluginStatus>,
    },
    /// All plugins are to end, and then the loop.
    Stop,
}

/// What can be asked for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Start,
    Stop,
    Restart,
    /// From the next start on, which is now where it runs.
    Reload(Plan),
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no plugin of this name.
    Unknown,
    /// The runtime is being stopped.
    Stopping,
}

/// What others may use of a plugin.
pub(crate) struct Found {
    pub(crate) log: Arc<Log>,
    /// How its present life is reached, if it has one.
    pub(crate) alive: Option<(Arc<dyn Member>, Stdin)>,
}
