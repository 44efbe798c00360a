//! Commands that the broker's handles send to its thread.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::Pulse;
use callgate_layout::sys::{fdpass, limits};
use crossbeam_channel::Sender;
use mio::Waker;

use super::Reactor;
use super::listed_plugins::Unusable;
use super::session::{Connection, Expected};
use crate::child::Child;
use crate::helper::Helper;
use crate::listing::Listing;
use crate::policy::Policy;
use crate::supervision::Status;

/// A name, and the policy that is lent to it while a session lasts.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) name: String,
    pub(crate) policy: Policy,
}

/// A command of a handle, with the channel for the answer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start a plugin.
    Spawn {
        /// The name that the plugin must say.
        name: String,
        /// The program.
        command: Box<process::Command>,
        /// What the plugin may do for as long as it is on the bus; `None` for the policy of its name.
        policy: Option<Policy>,
        /// The channel for the answer.
        reply: Sender<io::Result<Child>>,
    },
    /// Make a connection for a plugin in this process.
    Connect {
        /// The name that the plugin must say, and what it may do for as long as it is on the bus.
        lent: Option<Lent>,
        /// The channel for the answer.
        reply: Sender<io::Result<OwnedFd>>,
    },
    /// List what is on the bus.
    Snapshot(Sender<Listing>),
    /// Set the policy of plugins.
    SetPolicy {
        /// Their name, or a pattern of names.
        name: String,
        /// What they may do; `None` removes their policy.
        policy: Option<Policy>,
        /// The channel for the names of the plugins that have not acknowledged it.
        reply: Sender<Vec<String>>,
    },
    /// The status of a supervised program; `None` if it is not supervised any more.
    SetStatus(String, Option<Box<Status>>),
    /// Why a plugin's folder cannot be used; `None` if it can be used, or is gone.
    SetBroken(PathBuf, Option<Unusable>),
    /// Ask the library of the plugin of this name about the state of its dispatcher.
    Pulse(String, Sender<io::Result<Pulse>>),
    /// A helper thread has finished a job.
    Done(Outcome),
    /// Stop the broker.
    Stop,
}

type Run = Box<dyn FnOnce(&mut Reactor, Instant) + Send>;

/// The result of a helper's job: a function that runs on the broker's thread.
pub(crate) struct Outcome(Run);

impl Outcome {
    pub(crate) fn new(run: impl FnOnce(&mut Reactor, Instant) + Send + 'static) -> Outcome {
        Outcome(Box::new(run))
    }

    /// Does what the job has left to do on the broker's thread.
    pub(super) fn run(self, reactor: &mut Reactor, now: Instant) {
        self.0(reactor, now);
        reactor.settle(now);
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}

/// How other threads send to the broker's thread.
#[derive(Clone, Debug)]
pub(crate) struct WayBack {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl WayBack {
    pub(crate) fn new(commands: Sender<Command>, waker: Arc<Waker>) -> WayBack {
        WayBack { commands, waker }
    }

    /// Does one job on a thread of its own, because the job could hang: nothing then waits behind it.
    pub(super) fn once(
        &self,
        name: &str,
        job: impl FnOnce() -> Outcome + Send + 'static,
    ) -> io::Result<()> {
        let WayBack { commands, waker } = self.clone();
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(move || {
            // Sending fails if the broker has ended, which needs no result.
            if commands.send(Command::Done(job())).is_ok() {
                let _ = waker.wake();
            }
        })?;
        Ok(())
    }

    /// Starts a thread for jobs, whose results run on the broker's thread.
    pub(super) fn helper(&self, name: &str) -> io::Result<Helper<Outcome>> {
        let WayBack { commands, waker } = self.clone();
        Helper::start(name, move |outcome| {
            // Sending fails if the broker has ended, which needs no results.
            if commands.send(Command::Done(outcome)).is_ok() {
                let _ = waker.wake();
            }
        })
    }
}

impl Reactor {
    /// Carries out all commands that have come.
    pub(super) fn obey(&mut self, now: Instant) {
        while let Ok(command) = self.commands.try_recv() {
            // Answering fails if the asker does not wait any more; then nobody misses the answer.
            match command {
                Command::Spawn {
                    name,
                    command,
                    policy,
                    reply,
                } => {
                    self.spawn((name, policy), command, reply, now);
                }
                Command::Connect { lent, reply } => {
                    let _ = reply.send(self.connect(lent, now));
                }
                Command::Snapshot(reply) => {
                    self.list_for_handle(reply, now);
                }
                Command::SetPolicy {
                    name,
                    policy,
                    reply,
                } => {
                    let change = self.bus.set_policy(&name, policy, now);
                    self.policy_changes.insert(change, reply);
                }
                Command::SetStatus(name, status) => {
                    self.set_status(name, status.map(|status| *status), now);
                }
                Command::SetBroken(folder, Some(unusable)) => {
                    self.broken.insert(folder, unusable);
                }
                Command::SetBroken(folder, None) => drop(self.broken.remove(&folder)),
                Command::Pulse(name, reply) => self.ask_pulse(&name, reply, now),
                Command::Done(outcome) => outcome.run(self, now),
                Command::Stop => self.stopping = true,
            }
        }
    }

    /// Tells the thread that has changed a policy that the change is in force.
    pub(super) fn policy_set(&mut self, change: u64, missing: Vec<String>) {
        if let Some(reply) = self.policy_changes.remove(&change) {
            let _ = reply.send(missing);
        }
    }

    fn connect(&mut self, lent: Option<Lent>, now: Instant) -> io::Result<OwnedFd> {
        if let Some(lent) = &lent {
            self.free_name(&lent.name, now)?;
        }
        let pid = process::id();
        let (ours, theirs) = self.socket_pair()?;
        let connection = Connection {
            socket: ours,
            process: self.own_process().map_err(short)?,
            watches_process: false,
            pid,
            expected: Expected {
                sender: Some(pid),
                name: None,
                lent: lent.as_ref().map(|lent| lent.name.clone()),
            },
        };
        self.adopt(connection, now)?;
        if let Some(Lent { name, policy }) = lent {
            self.bus.lend_policy(&name, policy);
        }
        Ok(theirs)
    }

    /// Makes a name free that a plugin has which has ended, if that was not noticed yet. Fails if a living plugin has the name, or one was
    /// started with it and has not said hello yet.
    pub(super) fn free_name(&mut self, name: &str, now: Instant) -> io::Result<()> {
        let free = self.check_reserved(name).and_then(|()| {
            let holder = self.bus.holder(name);
            holder.map_or(Ok(()), |holder| self.make_way(holder, name, now))
        });
        free.map_err(|taken| io::Error::new(io::ErrorKind::AlreadyExists, taken.message))
    }

    pub(super) fn socket_pair(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        self.check_room()
            .and_then(|()| self.check_plugin_room())
            .map_err(|failure| io::Error::other(failure.message))?;
        let (ours, theirs) = fdpass::pair().map_err(short)?;
        fdpass::want_sender(ours.as_fd())?;
        Ok((ours, theirs))
    }
}

/// An error about a connection; names the limit if descriptors are missing.
fn short(error: io::Error) -> io::Error {
    limits::explained("a connection for a plugin cannot be made", &error)
}
