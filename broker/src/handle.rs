//! The handle by which other threads use a broker.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::sys::fork::ForkMark;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use mio::Waker;

use crate::child::Child;
use crate::listing::Listing;
use crate::policy::Policy;
use crate::reactor::{Command, Lent, Unusable};
use crate::supervision::Status;
use callgate_layout::control::Pulse;

/// A handle of a running broker, for any number of threads; from [`Broker::handle`](crate::Broker::handle).
///
/// It does not keep the broker running: once the [`Broker`](crate::Broker) is dropped, everything here fails with
/// `BrokenPipe`.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    started: ForkMark,
}

impl BrokerHandle {
    pub(crate) fn new(commands: Sender<Command>, waker: Arc<Waker>) -> BrokerHandle {
        BrokerHandle {
            commands,
            waker,
            started: ForkMark::here(),
        }
    }

    /// The same as [`Broker::connect`](crate::Broker::connect).
    pub fn connect(&self) -> io::Result<OwnedFd> {
        self.ask(|reply| Command::Connect { lent: None, reply })?
    }

    /// A connection for a plugin of this name in this very process, which may do what this policy says for as long as the connection lasts.
    /// From now on no other plugin can have the name. When the connection has ended, the name's policy is again the one that
    /// [`set_policy`](BrokerHandle::set_policy) has set, if any. Setting a policy for exactly this name meanwhile replaces the lent one.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use callgate::{Broker, Policy};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().without_socket().strict(true).start()?;
    /// let policy = Policy::new().provide("Mixer.*");
    /// let socket = broker.handle().connect_as("Mixer", policy.clone())?; // for `PluginBuilder::descriptor`
    /// let second = broker.handle().connect_as("Mixer", policy).unwrap_err();
    /// assert_eq!(second.kind(), ErrorKind::AlreadyExists);
    /// # drop(socket);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if a plugin has the name, or was started with it and is still starting. Nothing is changed then.
    pub fn connect_as(&self, name: &str, policy: Policy) -> io::Result<OwnedFd> {
        let name = name.to_owned();
        let lent = Some(Lent { name, policy });
        self.ask(|reply| Command::Connect { lent, reply })?
    }

    /// The same as [`Broker::spawn`](crate::Broker::spawn).
    pub fn spawn(&self, name: &str, program: Program) -> io::Result<Child> {
        self.begin_spawn(name, program)?
            .recv()
            .map_err(|_| gone())?
    }

    /// Starts a program as [`BrokerHandle::spawn`] does, which may do what this policy says for as long as it is on the bus; otherwise as
    /// [`BrokerHandle::connect_as`].
    ///
    /// # Errors
    ///
    /// As [`Broker::spawn`](crate::Broker::spawn); also `AlreadyExists` if a plugin has the name, or was started with it and is still
    /// starting.
    pub fn spawn_as(&self, name: &str, program: Program, policy: Policy) -> io::Result<Child> {
        self.ask(|reply| Command::Spawn {
            name: name.to_owned(),
            command: Box::new(program),
            policy: Some(policy),
            reply,
        })?
    }

    /// The same as [`BrokerHandle::pulse`] without waiting: the answer comes by [`Asked::answer`].
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the broker has ended.
    pub fn ask_pulse(&self, name: &str) -> io::Result<Asked> {
        self.begin_pulse(name).map(Asked)
    }

    /// The same as [`BrokerHandle::spawn`] without waiting. If the broker ends first, the receiver is disconnected.
    pub(crate) fn begin_spawn(
        &self,
        name: &str,
        program: Program,
    ) -> io::Result<Receiver<io::Result<Child>>> {
        self.request(|reply| Command::Spawn {
            name: name.to_owned(),
            command: Box::new(program),
            policy: None,
            reply,
        })
    }

    /// The same as [`Broker::snapshot`](crate::Broker::snapshot).
    pub fn snapshot(&self) -> io::Result<Listing> {
        self.ask(Command::Snapshot)
    }

    /// The same as [`Broker::set_policy`](crate::Broker::set_policy).
    pub fn set_policy(&self, name: &str, policy: Option<Policy>) -> io::Result<Vec<String>> {
        self.ask(|reply| Command::SetPolicy {
            name: name.to_owned(),
            policy,
            reply,
        })
    }

    /// Reports the status of a supervised program, for listings: from then on they show it also while the program is not connected. `None`
    /// ends that. [`Broker::supervise`](crate::Broker::supervise) does this by itself.
    ///
    /// Returns at once; listings that are asked for afterwards show it.
    pub fn set_status(&self, name: &str, status: Option<Status>) -> io::Result<()> {
        self.tell(Command::SetStatus(name.to_owned(), status.map(Box::new)))
    }

    /// Reports that a plugin's folder cannot be used: the name under which it is listed, and the reason. Listings show it, and plugins that
    /// call `NAME.…` are told the reason. `None` ends that.
    ///
    /// Returns at once, like [`BrokerHandle::set_status`].
    pub fn set_broken(&self, folder: &Path, broken: Option<(&str, &str)>) -> io::Result<()> {
        let broken = broken.map(|(name, why)| Unusable {
            name: name.to_owned(),
            why: why.to_owned(),
        });
        self.tell(Command::SetBroken(folder.to_owned(), broken))
    }

    /// Asks the library of a plugin about the state of its dispatcher, and waits at most so long for the answer. The library answers on a
    /// thread of its own, also while the dispatcher hangs.
    ///
    /// # Errors
    ///
    /// `NotConnected` if no such plugin is connected, `TimedOut` if no answer comes, and `BrokenPipe` if the broker or the plugin ends
    /// meanwhile.
    pub fn pulse(&self, name: &str, timeout: Duration) -> io::Result<Pulse> {
        let answer = self.begin_pulse(name)?.recv_timeout(timeout);
        answer.map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                io::Error::new(io::ErrorKind::TimedOut, "the plugin does not answer")
            }
            RecvTimeoutError::Disconnected => {
                io::Error::new(io::ErrorKind::BrokenPipe, "the plugin has gone")
            }
        })?
    }

    /// The same as [`BrokerHandle::pulse`] without waiting. If the broker or the plugin ends first, the receiver is disconnected.
    pub(crate) fn begin_pulse(&self, name: &str) -> io::Result<Receiver<io::Result<Pulse>>> {
        self.request(|reply| Command::Pulse(name.to_owned(), reply))
    }

    /// Sends a command to the broker, and waits for its answer.
    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> io::Result<T> {
        self.request(command)?.recv().map_err(|_| gone())
    }

    /// Sends a command to the broker. If the broker ends without an answer, the receiver is disconnected.
    fn request<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> io::Result<Receiver<T>> {
        let (reply, answer) = bounded(1);
        self.tell(command(reply))?;
        Ok(answer)
    }

    /// Sends a command that has no answer to the broker.
    pub(crate) fn tell(&self, command: Command) -> io::Result<()> {
        if !self.is_of_this_process() {
            return Err(io::Error::other(
                "the broker is its parent's: this process is a forked child, which has none",
            ));
        }
        self.commands.send(command).map_err(|_| gone())?;
        self.waker.wake()
    }

    /// Whether this process has started the broker, and is not a forked child of it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.started.is_here()
    }
}

/// A question that was asked by [`BrokerHandle::ask_pulse`].
#[derive(Debug)]
pub struct Asked(Receiver<io::Result<Pulse>>);

impl Asked {
    /// The answer, if it has come; only once. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`BrokerHandle::pulse`], but for `TimedOut`.
    pub fn answer(&self) -> Option<io::Result<Pulse>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the plugin has gone",
            ))),
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the broker has stopped")
}
