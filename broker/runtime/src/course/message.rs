//! What the loop is told by other threads.

use std::sync::Arc;
use std::time::Duration;

use callgate::supervision::State;
use crossbeam_channel::Sender;

use super::Name;
use super::life::Life;
use super::plan::Plan;
use super::status::PluginStatus;
use super::taken::Taken;
use super::way_back::Notice;
use crate::bridge::Bridge;
use crate::log::PluginLog;
use crate::process::Stdin;

pub(super) enum Message {
    /// The worker has begun this life, or failed to.
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
    /// The thread for long frames has taken one in, in this time.
    TakenIn {
        life: u64,
        taken: Taken,
        spent: Duration,
    },
    /// The session of a plugin's last life is closed: its name is free.
    Closed {
        name: Name,
    },
    /// The loop is to look at something of this life.
    Notice {
        life: u64,
        notice: Notice,
    },
    /// Somebody wants something of a plugin.
    Request {
        name: Name,
        request: Request,
        answer: Sender<Result<(), Refusal>>,
    },
    /// A plugin is to be supervised, and started.
    Add {
        plan: Box<Plan>,
        answer: Sender<Result<(), Refusal>>,
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
    Reload(Box<Plan>),
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no plugin of this name.
    Unknown,
    /// There is a plugin of this name.
    Taken,
    /// The runtime is being stopped.
    Stopping,
}

/// What others may use of a plugin.
pub(crate) struct Found {
    pub(crate) log: PluginLog,
    /// Whether it links the client.
    pub(crate) is_linked: bool,
    /// How its present life is reached, if it has one that speaks.
    pub(crate) alive: Option<(Arc<Bridge>, Stdin)>,
}
