//! How other threads ask a broker for something.

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
use crate::reactor::{Command, Lent};
use crate::supervision::Status;
use callgate_layout::control::Pulse;

/// A way to a running broker, for any number of threads; from [`Broker::handle`](crate::Broker::handle).
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

    /// A connection for a plugin of this name in this very process, which may do what this policy says for as long as the
    /// connection lasts. From now on nobody else can have the name; when the connection has ended, the name has what
    /// [`set_policy`](BrokerHandle::set_policy) has given it, or has not. A `set_policy` of this very name meanwhile ends that.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use callgate::{Broker, Policy};
    ///
    /// # fn main() -> std::io::Result<()> {
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
    /// `AlreadyExists` where a plugin has the name, or was given it and is still starting. Nothing is changed then.
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

    /// The same for a program that may do what this policy says for as long as it is on the bus; otherwise as
    /// [`BrokerHandle::connect_as`].
    ///
    /// # Errors
    ///
    /// As [`Broker::spawn`](crate::Broker::spawn); `AlreadyExists` where a plugin has the name, or was given it and is still starting.
    pub fn spawn_as(&self, name: &str, program: Program, policy: Policy) -> io::Result<Child> {
        self.ask(|reply| Command::Spawn {
            name: name.to_owned(),
            command: Box::new(program),
            policy: Some(policy),
            reply,
        })?
    }

    /// The same without waiting: the answer is looked for by [`Asked::answer`].
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the broker has gone.
    pub fn ask_pulse(&self, name: &str) -> io::Result<Asked> {
        self.begin_pulse(name).map(Asked)
    }

    /// The same without waiting. The receiver is disconnected where the broker ends before that.
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

    /// Says how a supervised program stands, for listings: they show it from then on also while it is not connected.
    /// `None` takes that back. [`Broker::supervise`](crate::Broker::supervise) does this by itself.
    ///
    /// Returns at once; listings that are asked for afterwards have it.
    pub fn set_status(&self, name: &str, status: Option<Status>) -> io::Result<()> {
        self.tell(Command::SetStatus(name.to_owned(), status.map(Box::new)))
    }

    /// Says why a plugin's folder cannot be used, for listings and for who calls what it would provide. `None` takes that back. It goes
    /// by the folder's name, because its manifest may not say one.
    ///
    /// Returns at once, as [`BrokerHandle::set_status`].
    pub fn set_broken(&self, folder: &Path, why: Option<&str>) -> io::Result<()> {
        let why = why.map(str::to_owned);
        self.tell(Command::SetBroken(folder.to_owned(), why))
    }

    /// Asks the library of a plugin how its dispatcher stands, and waits at most so long for the answer. The library
    /// answers on a thread of its own, also while the dispatcher hangs.
    ///
    /// # Errors
    ///
    /// `NotConnected` where no such plugin is connected, `TimedOut` without an answer, and `BrokenPipe` where the broker
    /// or the plugin has gone meanwhile.
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

    /// The same without waiting. The receiver is disconnected where the broker or the plugin goes before that.
    pub(crate) fn begin_pulse(&self, name: &str) -> io::Result<Receiver<io::Result<Pulse>>> {
        self.request(|reply| Command::Pulse(name.to_owned(), reply))
    }

    /// Has the broker do something, and waits for its answer.
    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> io::Result<T> {
        self.request(command)?.recv().map_err(|_| gone())
    }

    /// Has the broker do something. Where the broker ends without an answer, its receiver is disconnected.
    fn request<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> io::Result<Receiver<T>> {
        let (reply, answer) = bounded(1);
        self.tell(command(reply))?;
        Ok(answer)
    }

    /// Has the broker do something that has no answer.
    pub(crate) fn tell(&self, command: Command) -> io::Result<()> {
        if !self.is_of_this_process() {
            return Err(io::Error::other(
                "the broker is its parent's: this process is a forked child, which has none",
            ));
        }
        self.commands.send(command).map_err(|_| gone())?;
        self.waker.wake()
    }

    /// Whether this process is the one that started the broker, and no forked child of it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.started.is_here()
    }
}

/// A question that was asked by [`BrokerHandle::ask_pulse`].
#[derive(Debug)]
pub struct Asked(Receiver<io::Result<Pulse>>);

impl Asked {
    /// The answer, once, if it has come. Does not wait.
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
