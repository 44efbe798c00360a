//! What the broker's handle asks the thread for.

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
use super::session::{Connection, Expected};
use crate::child::Child;
use crate::helper::Helper;
use crate::listing::Listing;
use crate::policy::Policy;
use crate::supervision::Status;

/// A name, and the policy that it has while a session lasts.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) name: String,
    pub(crate) policy: Policy,
}

/// A request of the handle, with the way back for the answer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start a plugin.
    Spawn {
        /// The name that it must say.
        name: String,
        /// The program.
        command: Box<process::Command>,
        /// What it may do for as long as it is on the bus; what its name may do where it is not said.
        policy: Option<Policy>,
        /// The way back.
        reply: Sender<io::Result<Child>>,
    },
    /// Make a connection for a plugin in this process.
    Connect {
        /// The name that it must say, and what it may do for as long as it is on the bus.
        lent: Option<Lent>,
        /// The way back.
        reply: Sender<io::Result<OwnedFd>>,
    },
    /// Say what is on the bus.
    Snapshot(Sender<Listing>),
    /// Give plugins another policy.
    SetPolicy {
        /// Their name, or a pattern of names.
        name: String,
        /// What they may do.
        policy: Option<Policy>,
        /// The way back, for the names of those that have not acknowledged it.
        reply: Sender<Vec<String>>,
    },
    /// Say of a supervised program how it stands; `None` where it is not supervised any more.
    SetStatus(String, Option<Box<Status>>),
    /// Say why what is in a folder of plugins cannot be used; `None` where it is not there any more, or can be.
    SetBroken(PathBuf, Option<String>),
    /// Ask the library of the plugin of this name how its dispatcher stands.
    Pulse(String, Sender<io::Result<Pulse>>),
    /// A helper thread has done a job.
    Done(Outcome),
    /// End everything.
    Stop,
}

type Run = Box<dyn FnOnce(&mut Reactor, Instant) + Send>;

/// What a helper's job came to: run on the broker's thread.
pub(crate) struct Outcome(Run);

impl Outcome {
    pub(crate) fn new(run: impl FnOnce(&mut Reactor, Instant) + Send + 'static) -> Outcome {
        Outcome(Box::new(run))
    }

    /// Does on the broker's thread what the job has left to be done.
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

/// How other threads reach the broker's.
#[derive(Clone, Debug)]
pub(crate) struct WayBack {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl WayBack {
    pub(crate) fn new(commands: Sender<Command>, waker: Arc<Waker>) -> WayBack {
        WayBack { commands, waker }
    }

    /// Does one job on a thread of its own, for what could hang: then nothing waits behind it.
    pub(super) fn once(
        &self,
        name: &str,
        job: impl FnOnce() -> Outcome + Send + 'static,
    ) -> io::Result<()> {
        let WayBack { commands, waker } = self.clone();
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(move || {
            // A broker that has ended needs no outcome.
            if commands.send(Command::Done(job())).is_ok() {
                let _ = waker.wake();
            }
        })?;
        Ok(())
    }

    /// Starts a thread for jobs whose outcomes run on the broker's thread.
    pub(super) fn helper(&self, name: &str) -> io::Result<Helper<Outcome>> {
        let WayBack { commands, waker } = self.clone();
        Helper::start(name, move |outcome| {
            // A broker that has ended needs no outcomes.
            if commands.send(Command::Done(outcome)).is_ok() {
                let _ = waker.wake();
            }
        })
    }
}

impl Reactor {
    /// Does all that the handle has asked for.
    pub(super) fn obey(&mut self, now: Instant) {
        while let Ok(command) = self.commands.try_recv() {
            // Who asked may have stopped waiting; then nobody misses the answer.
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
                Command::SetBroken(folder, Some(why)) => drop(self.broken.insert(folder, why)),
                Command::SetBroken(folder, None) => drop(self.broken.remove(&folder)),
                Command::Pulse(name, reply) => self.ask_pulse(&name, reply, now),
                Command::Done(outcome) => outcome.run(self, now),
                Command::Stop => self.stopping = true,
            }
        }
    }

    /// Tells whoever changed a policy that it is in force.
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

    /// Makes sure that nobody has a name: neither a plugin, unless that has gone, nor one that is still to say it.
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

/// An error about a connection; names the limit where it is for want of descriptors.
fn short(error: io::Error) -> io::Error {
    limits::explained("a connection for a plugin cannot be made", &error)
}
