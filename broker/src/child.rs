//! A process that the broker started.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{self, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::sys::process::pidfd_open;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

/// A plugin's process that [`Broker::spawn`](crate::Broker::spawn) started.
///
/// Dropping this leaves the process alone; the broker ends it when it stops.
#[derive(Clone, Debug)]
pub struct Child {
    process: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pid: u32,
    /// The broker's session has it, too, and gives it to the plugin's peers.
    pidfd: Arc<OwnedFd>,
    /// The process is reaped under this lock alone, so while it is held and the process was
    /// not, its number is its own.
    child: Mutex<process::Child>,
}

impl Child {
    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.pid
    }

    /// Ends the process with SIGKILL; does nothing when it has ended.
    pub fn kill(&self) -> io::Result<()> {
        self.process.child.lock().kill()
    }

    /// How the process ended; `None` while it runs.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.process.child.lock().try_wait()
    }

    /// Waits for the process to end, at most as long as given; `None` when it still runs.
    pub fn wait(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.process.await_end(left)?;
        }
    }
}

impl Shared {
    fn await_end(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        // Rounded up, so that the last wait does not become a spin.
        let millis = timeout.map(|left| left.as_millis() + 1);
        let millis = millis.map(|millis| millis.min(i32::MAX as u128) as i32);
        let patience = millis.and_then(|millis| PollTimeout::try_from(millis).ok());
        match poll(&mut polled, patience.unwrap_or(PollTimeout::NONE)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// The broker's side of a child.
#[derive(Debug)]
pub(crate) struct Tracked {
    process: Arc<Shared>,
}

impl Tracked {
    /// Takes over a process that was just started.
    pub(crate) fn new(mut child: process::Child) -> io::Result<Tracked> {
        let pid = child.id();
        // It was not reaped yet, so the number is its own.
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let (child, pidfd) = (Mutex::new(child), Arc::new(pidfd));
        Ok(Tracked {
            process: Arc::new(Shared { pid, pidfd, child }),
        })
    }

    pub(crate) fn handle(&self) -> Child {
        Child {
            process: self.process.clone(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.pid
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    pub(crate) fn shared_pidfd(&self) -> Arc<OwnedFd> {
        self.process.pidfd.clone()
    }

    /// Takes in the exit status; `true` when the process has ended.
    pub(crate) fn reap(&self) -> bool {
        matches!(self.process.child.lock().try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&self) {
        let mut child = self.process.child.lock();
        let pid = i32::try_from(self.process.pid);
        if let (Ok(None), Ok(pid)) = (child.try_wait(), pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Ends the process.
    pub(crate) fn kill(&self) {
        let _ = self.process.child.lock().kill();
    }
}
