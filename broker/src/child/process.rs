//! The state of a process that the broker started. Signals go through its pidfd and not through its number, which the kernel may have given
//! to another process meanwhile.

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
    /// Shared with the broker's session, which passes it to the plugin's peers.
    pub(super) pidfd: Arc<OwnedFd>,
    pub(super) started: Instant,
    /// The broker reaps the process only under this lock.
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    /// Keeps its pipes open as long as there is a handle.
    pub(super) _child: process::Child,
    pub(super) end: Option<End>,
    pub(super) start: Start,
    /// Set once the broker stops: then the rest of the group gets time to end by itself.
    pub(super) stopping: bool,
    /// Called when any of this has changed.
    pub(super) watch: Watch,
}

/// A callback for changes of a process.
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
    /// Another part of this program took the exit status, and the kernel reports it only once.
    Unknown,
}

/// How far a plugin has come on its way to the bus.
#[derive(Clone, Debug)]
pub(super) enum Start {
    UnderWay,
    Connected,
    Failed(String),
}

impl Shared {
    /// Wakes those who wait for a change. Takes no lock.
    pub(super) fn tell_of_change(&self) {
        self.changed.notify_all();
        let watch = self.state.lock().watch.clone();
        watch.call();
    }

    /// Reaps the process if it has ended, and kills the rest of its group.
    pub(super) fn look(&self) -> io::Result<Option<End>> {
        let (end, is_news) = self.take_end_in()?;
        if is_news {
            self.tell_of_change();
        }
        Ok(end)
    }

    /// The same without waking anybody. Also returns whether the end was not known before.
    fn take_end_in(&self) -> io::Result<(Option<End>, bool)> {
        let mut state = self.state.lock();
        if state.end.is_some() || !has_ended(self.pidfd.as_fd()) {
            return Ok((state.end, false));
        }
        if !state.stopping {
            // Done before the process is reaped: until then its number, which is also the group's, cannot be given to another process.
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

    /// Sends a signal to the process group, even if its leader has ended.
    pub(super) fn signal_group(&self, what: Signal) -> io::Result<()> {
        match signal(self.pidfd.as_fd(), what as i32, Whom::Group) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                // Kernels before 6.9 cannot signal a group by pidfd. The number is safe until the leader is reaped; afterwards the group
                // cannot be reached.
                if is_unreaped_child(self.pidfd.as_fd()) {
                    killpg(Pid::from_raw(self.pid as i32), what)?;
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Sends a signal to the process and all others of its group. Members that have ended are no error.
    pub(super) fn signal_all(&self, what: Signal) -> io::Result<()> {
        let group = self.signal_group(what);
        // The process itself may have moved to another group.
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
        // Under the lock, so that the process is not reaped meanwhile.
        let _state = self.state.lock();
        self.signal_all(Signal::SIGKILL)
    }

    pub(super) fn terminate(&self) -> io::Result<()> {
        // Under the lock, so that the process is not reaped meanwhile.
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

    /// A sentence on how the process ended, once it was reaped.
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
