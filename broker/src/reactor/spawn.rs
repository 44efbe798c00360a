//! Starting programs, watching them until they are plugins, and noticing their end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::time::{Duration, Instant};

use callgate_layout::control::check_plugin_name;
use callgate_layout::invitation;
use callgate_layout::sys::{inherit, limits, spawn};
use command_fds::CommandFdExt;
use crossbeam_channel::Sender;
use mio::Interest;
use mio::unix::SourceFd;

use super::commands::Outcome;
use super::ends::process_gone;
use super::session::{Connection, Expected};
use super::spawners::MOST;
use super::tokens::{Kind, token};
use super::{Reactor, Timer};
use crate::child::{Child, Fresh, Tracked};
use crate::id::PluginId;
use crate::policy::Policy;

/// How many step times the kernel may take to load a program, or a start may wait for its turn.
const STEPS: u32 = 5;

/// A program that a thread is starting, or will start.
pub(super) struct Exec {
    name: String,
    /// What the program may do while it is on the bus; `None` for the policy of its name.
    policy: Option<Policy>,
    /// The broker's end of the program's connection.
    ours: OwnedFd,
    reply: Sender<io::Result<Child>>,
}

impl Reactor {
    /// Has a program started. The result goes to `reply`.
    pub(super) fn spawn(
        &mut self,
        name: (String, Option<Policy>),
        command: Box<process::Command>,
        reply: Sender<io::Result<Child>>,
        now: Instant,
    ) {
        if let Err(error) = self.try_spawn(name, command, &reply, now) {
            let _ = reply.send(Err(error));
        }
    }

    fn try_spawn(
        &mut self,
        (name, policy): (String, Option<Policy>),
        mut command: Box<process::Command>,
        reply: &Sender<io::Result<Child>>,
        now: Instant,
    ) -> io::Result<()> {
        check_plugin_name(&name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        if policy.is_some() {
            self.free_name(&name, now)?;
        }
        let (ours, theirs) = self.socket_pair()?;
        invitation::send(ours.as_fd(), &name)?;
        prepare(&mut command, theirs)?;
        if let Some(soft) = self.settings.children_soft {
            limits::start_with(&mut command, soft);
        }
        self.starts.forget(&name);
        let id = self.next_id;
        self.next_id += 1;
        let plugin = name.clone();
        let job = Box::new(move |thread| {
            let started = start(plugin, *command);
            Outcome::new(move |reactor, now| reactor.spawned(id, thread, started, now))
        });
        self.spawners.run(&self.way_back, id, job)?;
        let due = now.checked_add(self.exec_time());
        self.timers.set(Timer::Exec(id), due);
        let reply = reply.clone();
        let exec = Exec {
            name,
            policy,
            ours,
            reply,
        };
        self.execs.insert(id, exec);
        Ok(())
    }

    /// A thread has started a program, or failed to.
    fn spawned(&mut self, id: u64, thread: usize, started: io::Result<Fresh>, now: Instant) {
        self.spawners.free(thread);
        self.timers.set(Timer::Exec(id), None);
        let Some(exec) = self.execs.remove(&id) else {
            return self.put_down(id, started);
        };
        let reply = exec.reply.clone();
        // A plugin of this name may have connected while the program was loaded.
        if exec.policy.is_some()
            && let Err(taken) = self.free_name(&exec.name, now)
        {
            let _ = reply.send(Err(taken));
            return self.put_down(id, started);
        }
        let adopted = started.and_then(|fresh| self.adopt_child(id, exec, fresh, now));
        let _ = reply.send(adopted);
    }

    fn adopt_child(
        &mut self,
        id: u64,
        exec: Exec,
        fresh: Fresh,
        now: Instant,
    ) -> io::Result<Child> {
        let Exec {
            name, policy, ours, ..
        } = exec;
        let gone = || io::Error::other("the program was given up");
        let tracked = fresh.keep().ok_or_else(gone)?;
        let child = tracked.handle();
        let connection = Connection {
            socket: ours,
            process: tracked.shared_pidfd(),
            // The end of the process is watched as that of a child.
            watches_process: false,
            pid: child.id(),
            expected: Expected {
                sender: Some(child.id()),
                lent: policy.is_some().then(|| name.clone()),
                name: Some(name.clone()),
            },
        };
        let adopted = self.adopt_as(PluginId(id), connection, now);
        let tracking = adopted.and_then(|()| self.track(id, tracked));
        if let Err(error) = tracking {
            self.sessions.remove(&PluginId(id));
            let _ = child.kill();
            // Nobody watches for its end, which takes only a moment after SIGKILL.
            let _ = child.wait(super::SCARCITY);
            return Err(error);
        }
        if let Some(policy) = policy {
            self.bus.lend_policy(&name, policy);
        }
        // Records that came before the socket was watched cause no event.
        self.enqueue(PluginId(id));
        Ok(child)
    }

    /// Kills a program whose start was given up before it was loaded.
    fn put_down(&mut self, id: u64, started: io::Result<Fresh>) {
        if let Ok(fresh) = started
            && let Some(tracked) = fresh.keep()
        {
            tracked.kill();
            tracked.failed("it was given up before it was loaded".into());
            // If it cannot be watched, it stays a zombie, which does no harm.
            let _ = self.track(id, tracked);
        }
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

    /// Notes the exit status of a process that has ended.
    pub(super) fn reap(&mut self, id: u64, now: Instant) {
        let ended = self.children.get(&id).is_some_and(Tracked::reap);
        if ended && let Some(tracked) = self.children.remove(&id) {
            // Also if nobody could read how it has ended.
            tracked.has_ended();
            let pidfd = tracked.pidfd().as_raw_fd();
            let _ = self.poll.registry().deregister(&mut SourceFd(&pidfd));
            let how = tracked.how_it_ended();
            let session = self.sessions.get(&PluginId(id));
            let is_plugin = session.is_some_and(|session| session.pid == tracked.id());
            let exit = tracked.exit().filter(|_| is_plugin);
            // Also if the plugin is another process of the group, which has ended with the first one.
            self.end(PluginId(id), &process_gone(exit), now);
            if tracked.has_connected() {
                self.note_end(&tracked, how);
            } else if tracked.is_starting() {
                self.start_failed(&tracked, format!("{how} before it connected"), now);
            }
        }
    }

    fn exec_time(&self) -> Duration {
        self.settings.step_deadline.saturating_mul(STEPS)
    }

    /// A program was not started in time: whoever asked is told. If the kernel loads it after all, it is killed.
    pub(super) fn give_up_start(&mut self, id: u64) {
        let waits = self.spawners.forget(id);
        let Some(Exec { name, reply, .. }) = self.execs.remove(&id) else {
            return;
        };
        let time = self.exec_time();
        let text = match waits {
            true => format!(
                "plugin `{name}` cannot be started: for {time:?} the kernel has not done with loading \
                 {MOST} other programs, and more are not tried at once"
            ),
            false => format!(
                "plugin `{name}` cannot be started: for {time:?} the kernel has not done with loading \
                 its program; does its file system answer?"
            ),
        };
        tracing::warn!("{text}");
        let error = io::Error::new(io::ErrorKind::TimedOut, text);
        let _ = reply.send(Err(error));
    }
}

/// Sets what a program inherits: its connection, a process group of its own, and a signal when the thread that starts it ends.
fn prepare(command: &mut process::Command, theirs: OwnedFd) -> io::Result<()> {
    command.env(inherit::VARIABLE, inherit::value(theirs.as_fd())?);
    // The descriptor keeps its number, because any other number could be one that the host has mapped.
    command.preserved_fds(vec![theirs]);
    command.process_group(0);
    spawn::end_with_starter(command);
    Ok(())
}

/// Starts a program. Runs on a thread that may wait for that.
fn start(name: String, mut command: process::Command) -> io::Result<Fresh> {
    let program = command.get_program().to_owned();
    // The standard library panics if the exec fails and the kernel has already reaped the child.
    let started = catch_unwind(AssertUnwindSafe(|| command.spawn()));
    let lost = || {
        let why = "the reason is lost, because this program ignores SIGCHLD";
        Err(io::Error::other(why))
    };
    let started = started.unwrap_or_else(|_| lost()).map_err(|error| {
        let program = program.display();
        let why = limits::explain(&error);
        let message = format!("plugin `{name}` cannot be started from {program}: {why}");
        io::Error::new(error.kind(), message)
    })?;
    // The command holds this process's copy of the plugin's end of the connection.
    drop(command);
    Ok(Fresh::new(Tracked::new(name, started)?))
}
