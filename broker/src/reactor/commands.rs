//! What the broker's handle asks the thread for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::check_plugin_name;
use callgate_layout::sys::process::pidfd_open;
use callgate_layout::sys::{fdpass, inherit};
use command_fds::CommandFdExt;
use crossbeam_channel::Sender;
use mio::unix::SourceFd;
use mio::{Interest, Waker};

use super::session::{Connection, Expected};
use super::tokens::{Kind, token};
use super::{Reactor, SCARCITY};
use crate::child::{Child, Tracked};
use crate::helper::Helper;
use crate::listing::Listing;
use crate::policy::Policy;

/// A request of the handle, with the way back for the answer.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start a plugin.
    Spawn {
        /// The name that it must say.
        name: String,
        /// The program.
        command: Box<process::Command>,
        /// The way back.
        reply: Sender<io::Result<Child>>,
    },
    /// Make a connection for a plugin in this process.
    Connect(Sender<io::Result<OwnedFd>>),
    /// Say what is on the bus.
    Snapshot(Sender<Listing>),
    /// Give plugins another policy.
    SetPolicy {
        /// Their name, or a pattern of names.
        name: String,
        /// What they may do.
        policy: Option<Policy>,
        /// The way back.
        reply: Sender<()>,
    },
    /// A helper thread has done a job.
    Done(Outcome),
    /// End everything.
    Stop,
}

/// What a helper's job came to: run on the broker's thread.
pub(crate) struct Outcome(Box<Rest>);

/// What is left to be done on the broker's thread.
type Rest = dyn FnOnce(&mut Reactor, Instant) + Send;

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
                    reply,
                } => {
                    let _ = reply.send(self.spawn(name, *command, now));
                }
                Command::Connect(reply) => {
                    let _ = reply.send(self.connect(now));
                }
                Command::Snapshot(reply) => {
                    self.list_for_handle(reply, now);
                }
                Command::SetPolicy {
                    name,
                    policy,
                    reply,
                } => {
                    self.bus.set_policy(&name, policy, now);
                    let _ = reply.send(());
                }
                Command::Done(outcome) => outcome.run(self, now),
                Command::Stop => self.stopping = true,
            }
        }
    }

    fn connect(&mut self, now: Instant) -> io::Result<OwnedFd> {
        let pid = process::id();
        let (ours, theirs) = self.socket_pair()?;
        let connection = Connection {
            socket: ours,
            pidfd: pidfd_open(pid)?,
            pid,
            expected: Expected {
                sender: Some(pid),
                name: None,
            },
        };
        self.adopt(connection, now)?;
        Ok(theirs)
    }

    fn socket_pair(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        self.check_room()
            .map_err(|failure| io::Error::other(failure.message))?;
        let (ours, theirs) = fdpass::pair()?;
        fdpass::want_sender(ours.as_fd())?;
        Ok((ours, theirs))
    }

    fn spawn(
        &mut self,
        name: String,
        mut command: process::Command,
        now: Instant,
    ) -> io::Result<Child> {
        check_plugin_name(&name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let (ours, theirs) = self.socket_pair()?;
        // The descriptor keeps its number: any other could be one that the host has mapped.
        command.env(inherit::VARIABLE, theirs.as_raw_fd().to_string());
        command.preserved_fds(vec![theirs]);
        let program = command.get_program().to_owned();
        let started = command.spawn().map_err(|error| {
            let program = program.display();
            let message = format!("plugin `{name}` cannot be started from {program}: {error}");
            io::Error::new(error.kind(), message)
        })?;
        // With the command goes this process's copy of the plugin's end.
        drop(command);
        let tracked = Tracked::new(started)?;
        let child = tracked.handle();
        let connection = Connection {
            socket: ours,
            pidfd: tracked.pidfd().try_clone_to_owned()?,
            pid: child.id(),
            expected: Expected {
                sender: Some(child.id()),
                name: Some(name),
            },
        };
        let adopted = self.adopt(connection, now);
        let tracking = adopted.and_then(|id| self.track(id.0, tracked));
        if let Err(error) = tracking {
            let _ = child.kill();
            // Nobody watches for its end, which after SIGKILL takes a moment only.
            let _ = child.wait(SCARCITY);
            return Err(error);
        }
        Ok(child)
    }

    /// Watches for the end of a process that the broker started.
    fn track(&mut self, id: u64, tracked: Tracked) -> io::Result<()> {
        let pidfd = tracked.pidfd().as_raw_fd();
        self.poll.registry().register(
            &mut SourceFd(&pidfd),
            token(Kind::Child, id),
            Interest::READABLE,
        )?;
        self.children.insert(id, tracked);
        Ok(())
    }

    /// Takes in the exit status of a process that has ended.
    pub(super) fn reap(&mut self, id: u64) {
        let ended = self.children.get(&id).is_some_and(Tracked::reap);
        if ended && let Some(tracked) = self.children.remove(&id) {
            let pidfd = tracked.pidfd().as_raw_fd();
            let _ = self.poll.registry().deregister(&mut SourceFd(&pidfd));
        }
    }
}
