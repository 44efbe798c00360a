//! What is known of a process that was started, and how it is reached: by its pidfd, never by a
//! number that could be another's by then.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::sys::process::{
    Whom, exit_status, has_ended, is_unreaped_child, reap, signal,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
pub(super) struct Shared {
    /// The plugin's name.
    pub(super) name: String,
    pub(super) pid: u32,
    /// The broker's session has it, too, and gives it to the plugin's peers.
    pub(super) pidfd: Arc<OwnedFd>,
    pub(super) started: Instant,
    /// The process is reaped under this lock alone, by this broker.
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    /// For its pipes, which stay open as long as anybody has a handle.
    pub(super) _child: process::Child,
    pub(super) end: Option<End>,
    pub(super) start: Start,
    /// The broker stops: the rest of the group has time to end by itself.
    pub(super) stopping: bool,
    /// Called when any of this has changed.
    pub(super) watch: Watch,
}

/// What somebody wants to be called when something about a process has changed.
#[derive(Clone, Default)]
pub(super) struct Watch(Option<Arc<dyn Fn() + Send + Sync>>);

impl Watch {
    pub(super) fn new(call: impl Fn() + Send + Sync + 'static) -> Watch {
        Watch(Some(Arc::new(call)))
    }

    fn call(self) {
        if let Watch(Some(call)) = self {
            call();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Known(ExitStatus),
    /// Somebody else took the exit status, and the kernel does not say it again.
    Unknown,
}

/// How far a plugin is on its way to the bus.
#[derive(Clone, Debug)]
pub(super) enum Start {
    UnderWay,
    Connected,
    Failed(String),
}

impl Shared {
    /// Wakes whoever waits for a change, without a lock.
    pub(super) fn tell_of_change(&self) {
        self.changed.notify_all();
        let watch = self.state.lock().watch.clone();
        watch.call();
    }

    /// Takes in the end of the process, if it has ended, and ends what is left of its group.
    pub(super) fn look(&self) -> io::Result<Option<End>> {
        let (end, is_news) = self.take_end_in()?;
        if is_news {
            self.tell_of_change();
        }
        Ok(end)
    }

    /// The same without telling anybody; also says whether it was not known before.
    fn take_end_in(&self) -> io::Result<(Option<End>, bool)> {
        let mut state = self.state.lock();
        if state.end.is_some() || !has_ended(self.pidfd.as_fd()) {
            return Ok((state.end, false));
        }
        if !state.stopping {
            // Before it is reaped: until then its number, which is the group's, is its own.
            let _ = self.signal_group(Signal::SIGKILL);
        }
        let end = match reap(self.pidfd.as_fd()) {
            Ok(Some(status)) => End::Known(status),
            Ok(None) => return Ok((None, false)),
            Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => {
                exit_status(self.pidfd.as_fd()).map_or(End::Unknown, End::Known)
            }
            Err(error) => return Err(error),
        };
        state.end = Some(end);
        Ok((state.end, true))
    }

    /// Sends a signal to the group that the process leads, or led.
    pub(super) fn signal_group(&self, what: Signal) -> io::Result<()> {
        match signal(self.pidfd.as_fd(), what as i32, Whom::Group) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                // A kernel before 6.9: by the number, which is the group's for as long as the leader
                // is not reaped. Afterwards the group is out of reach.
                if is_unreaped_child(self.pidfd.as_fd()) {
                    killpg(Pid::from_raw(self.pid as i32), what)?;
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Sends a signal to the process and all others of its group; those that have ended need none.
    pub(super) fn signal_all(&self, what: Signal) -> io::Result<()> {
        let group = self.signal_group(what);
        // It may have gone to another group.
        let process = signal(self.pidfd.as_fd(), what as i32, Whom::Process);
        for outcome in [group, process] {
            match outcome {
                Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        // Under the lock, so that it is not reaped meanwhile.
        let _state = self.state.lock();
        self.signal_all(Signal::SIGKILL)
    }

    pub(super) fn terminate(&self) -> io::Result<()> {
        // Under the lock, so that it is not reaped meanwhile.
        let _state = self.state.lock();
        self.signal_all(Signal::SIGTERM)
    }

    pub(super) fn await_end(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        // Rounded up, so that the last wait does not become a spin.
        let millis = timeout.map(|left| left.as_millis() + 1);
        let millis = millis.map(|millis| millis.min(i32::MAX as u128) as i32);
        let patience = millis.and_then(|millis| PollTimeout::try_from(millis).ok());
        match poll(&mut polled, patience.unwrap_or(PollTimeout::NONE)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn label(&self) -> String {
        format!("plugin `{}` (pid {})", self.name, self.pid)
    }

    /// The end of the process in a sentence, once it was taken in.
    pub(super) fn how_it_ended(&self) -> String {
        match self.state.lock().end {
            Some(End::Known(status)) => format!("{} has ended ({status})", self.label()),
            _ => format!(
                "{} has ended; how, nobody can tell, because this program took its exit status \
                 elsewhere or ignores SIGCHLD",
                self.label()
            ),
        }
    }

    pub(super) fn still_starting(&self) -> String {
        let since = self.started.elapsed().as_secs_f32();
        format!(
            "{} was started {since:.1} s ago and still has not connected",
            self.label()
        )
    }
}
