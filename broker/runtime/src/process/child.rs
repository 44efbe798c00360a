//! A child's process and its process group: signals, and how it ended. Signals go through the pidfd and not through the process number,
//! which the kernel may have given to another process meanwhile.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::{self, ExitStatus};
use std::time::Duration;

use callgate_layout::sys::process::{
    Whom, exit_status, has_ended, is_unreaped_child, pidfd_open, reap, signal,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long dropping a [`Child`] waits for the process to end after SIGKILL.
const AFTER_KILL: Duration = Duration::from_millis(50);

/// A child that leads its process group, owned by the loop that supervises it. If this is dropped before the loop has seen the child's end,
/// the child and its group are killed and the child is reaped, because nobody would supervise them any more.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    pidfd: OwnedFd,
    end: Option<End>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Known(ExitStatus),
    /// Another part of this program took the exit status, and the kernel reports it only once.
    Unknown,
}

impl Child {
    /// Takes over a process that was just started as the leader of a group.
    pub(super) fn new(mut child: process::Child) -> io::Result<Child> {
        let pid = child.id();
        match pidfd_open(pid) {
            Ok(pidfd) => Ok(Child {
                pid,
                pidfd,
                end: None,
            }),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {
                Err(io::Error::other(format!(
                    "its process {pid} ended as soon as it was started; how, nobody can tell, because this \
                     program ignores SIGCHLD"
                )))
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    /// Returns how the child ended; `None` while it runs. When the end is first seen, the rest of the group is killed before the leader is
    /// reaped: until then the kernel cannot give the leader's number, which is also the group's, to another process.
    pub(crate) fn look(&mut self) -> Option<End> {
        if self.end.is_some() || !has_ended(self.pidfd.as_fd()) {
            return self.end;
        }
        let _ = self.signal_group(Signal::SIGKILL);
        self.end = match reap(self.pidfd.as_fd()) {
            Ok(status) => status.map(End::Known),
            Err(_) => Some(exit_status(self.pidfd.as_fd()).map_or(End::Unknown, End::Known)),
        };
        self.end
    }

    /// Sends SIGTERM to the process and its group.
    pub(crate) fn terminate(&self) {
        self.signal_all(Signal::SIGTERM);
    }

    /// Sends SIGKILL to the process and its group.
    pub(crate) fn kill(&self) {
        self.signal_all(Signal::SIGKILL);
    }

    /// Sends a signal to the group and the process, unless the child's end was seen. A process that has ended meanwhile is no error.
    fn signal_all(&self, what: Signal) {
        if self.end.is_some() {
            return;
        }
        for outcome in [
            self.signal_group(what),
            signal(self.pidfd.as_fd(), what as i32, Whom::Process),
        ] {
            if let Err(error) = outcome
                && error.raw_os_error() != Some(Errno::ESRCH as i32)
            {
                tracing::warn!("{what} does not reach the process {}: {error}", self.pid);
            }
        }
    }

    fn signal_group(&self, what: Signal) -> io::Result<()> {
        match signal(self.pidfd.as_fd(), what as i32, Whom::Group) {
            // Kernels before 6.9 cannot signal a group by pidfd. The number is safe, because it stays the group's until the leader is
            // reaped.
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                if is_unreaped_child(self.pidfd.as_fd()) {
                    killpg(Pid::from_raw(self.pid as i32), what)?;
                }
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.kill();
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(AFTER_KILL).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut polled, patience);
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{Launch, Progress, Started};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A child that was started just when the runtime ended went on running.
    #[test]
    fn a_child_that_nobody_supervises_is_killed_with_its_group() {
        let launch = Launch {
            program: "sh".into(),
            arguments: ["-c", "sleep 1000 & wait"].map(Into::into).into(),
            folder: "/".into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        };
        let Started { child, stdout, .. } = launch.start().unwrap();
        let until = Instant::now() + PATIENCE;
        drop(child);
        // The pipe ends once the child and the process that it started have both ended: they hold its other end.
        while stdout.read(&mut [0]) != Progress::Ended {
            assert!(Instant::now() < until, "they live");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
