//! The messages that other threads send to the loop.

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
    /// The worker has provided the gates of this life, or failed to.
    Offered {
        life: u64,
        outcome: Result<(), String>,
    },
    /// The thread for long frames has handled a frame of this life, and needed this time.
    TakenIn {
        life: u64,
        taken: Taken,
        spent: Duration,
    },
    /// The session of the plugin's last life was closed, so its name is free.
    Closed {
        name: Name,
    },
    /// Something has changed for this life that the loop must look at.
    Notice {
        life: u64,
        notice: Notice,
    },
    /// Jobs wait for a thread: the loop looks at them in each turn.
    JobsWait,
    /// A request about a plugin.
    Request {
        name: Name,
        request: Request,
        answer: Sender<Result<(), Refusal>>,
    },
    /// Supervise a plugin, and start it.
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
    /// Answer when the plugin is in one of these states.
    Await {
        name: Name,
        states: Vec<State>,
        answer: Sender<PluginStatus>,
    },
    /// End all plugins, and then the loop.
    Stop,
}

/// A request about a plugin.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Start,
    Stop,
    Restart,
    /// Use this plan from the next start on; a plugin that runs is restarted now.
    Reload(Box<Plan>),
}

/// Why the loop refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no plugin of this name.
    Unknown,
    /// There is already a plugin of this name.
    Taken,
    /// The runtime is being stopped.
    Stopping,
}

/// The parts of a plugin that other threads may use.
pub(crate) struct Found {
    pub(crate) log: PluginLog,
    /// Whether the plugin links the client.
    pub(crate) is_linked: bool,
    /// The bridge and stdin of its present life; `None` if there is no life, or it links the client.
    pub(crate) alive: Option<(Arc<Bridge>, Stdin)>,
}
