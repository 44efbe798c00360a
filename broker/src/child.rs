//! A process that the broker started.

mod process;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::sys::process::{Whom, pidfd_open, signal};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use parking_lot::{Condvar, Mutex};

use crate::descent;
use crate::supervision::Exit;
use process::{End, Shared, Start, State, Watch};

/// How far a process has come on its way to the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// It was started and has not connected yet.
    Starting,
    /// The plugin has connected; it may have gone since.
    Connected,
    /// It will not connect any more, for this reason. The process may still run.
    Failed(String),
}

/// A plugin's process that [`Broker::spawn`](crate::Broker::spawn) started, and the group of
/// processes that it leads.
///
/// Dropping this has no effect on the process; the broker ends the process when it stops.
#[derive(Clone, Debug)]
pub struct Child {
    process: Arc<Shared>,
}

impl Child {
    /// The number of the process that was started.
    ///
    /// If that is a wrapper, the plugin is another process, whose number is in the [listing](crate::Broker::snapshot).
    pub fn id(&self) -> u32 {
        self.process.pid
    }

    /// Sends SIGKILL to the process and all others of its group; has no effect once all have ended.
    pub fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Sends SIGTERM to the process and all others of its group; has no effect once all have ended. When the process that was started ends,
    /// the rest of the group is killed.
    pub fn terminate(&self) -> io::Result<()> {
        self.process.terminate()
    }

    /// How far the process has come on its way to the bus.
    pub fn progress(&self) -> Progress {
        match &self.process.state.lock().start {
            Start::UnderWay => Progress::Starting,
            Start::Connected => Progress::Connected,
            Start::Failed(why) => Progress::Failed(why.clone()),
        }
    }

    /// Calls a function whenever the [progress](Child::progress) changes and when the process has ended, on any thread that notices it. The
    /// function replaces an earlier one, and must not block. Earlier changes are not reported: check the state after this call.
    pub fn on_change(&self, call: impl Fn() + Send + Sync + 'static) {
        self.process.state.lock().watch = Watch::new(call);
    }

    /// How the process ended; `None` while it runs.
    ///
    /// # Errors
    ///
    /// Before Linux 6.15, if the process has ended and this program itself took its exit status (by `waitpid`, or by ignoring SIGCHLD):
    /// then the kernel no longer reports how it ended.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        match self.process.look()? {
            None => Ok(None),
            Some(End::Known(status)) => Ok(Some(status)),
            Some(End::Unknown) => Err(io::Error::other(self.process.how_it_ended())),
        }
    }

    /// Waits for the process to end, for at most `timeout`; returns `None` if it still runs.
    ///
    /// # Errors
    ///
    /// As [`Child::try_wait`].
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

    /// Waits until the plugin has connected. Its gates may still be missing then:
    /// `Subscriber::wait_ready` waits for one of them.
    ///
    /// # Errors
    ///
    /// At once if the program ended before it connected, with how it ended, and if the broker refused it, with the reason. `TimedOut` if it
    /// still has not connected when the time has passed.
    pub fn wait_ready(&self, timeout: Duration) -> io::Result<()> {
        let process = &*self.process;
        let deadline = Instant::now().checked_add(timeout);
        let mut state = process.state.lock();
        loop {
            match &state.start {
                Start::Connected => return Ok(()),
                Start::Failed(why) => return Err(io::Error::other(why.clone())),
                Start::UnderWay => {}
            }
            match deadline {
                None => process.changed.wait(&mut state),
                Some(at) if Instant::now() >= at => {
                    let kind = io::ErrorKind::TimedOut;
                    return Err(io::Error::new(kind, process.still_starting()));
                }
                Some(at) => drop(process.changed.wait_until(&mut state, at)),
            }
        }
    }
}

/// The broker's side of a child.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    process: Arc<Shared>,
}

impl Tracked {
    /// Takes over a process that was just started as the leader of a group.
    pub(crate) fn new(name: String, mut child: std::process::Child) -> io::Result<Tracked> {
        let pid = child.id();
        // The number is the process's own until it is reaped. Only this process can do that, unless it ignores SIGCHLD: then the kernel
        // reaps the child, and reports that there is no process of that number.
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {
                return Err(io::Error::other(format!(
                    "plugin `{name}` (pid {pid}) ended as soon as it was started; how, nobody can \
                     tell, because this program ignores SIGCHLD"
                )));
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let process = Shared {
            name,
            pid,
            pidfd: Arc::new(pidfd),
            started: Instant::now(),
            state: Mutex::new(State {
                _child: child,
                end: None,
                start: Start::UnderWay,
                stopping: false,
                watch: Watch::default(),
            }),
            changed: Condvar::new(),
        };
        Ok(Tracked {
            process: Arc::new(process),
        })
    }

    pub(crate) fn handle(&self) -> Child {
        Child {
            process: self.process.clone(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.process.name
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

    /// Reaps the process if it has ended. Returns whether it has ended.
    pub(crate) fn reap(&self) -> bool {
        matches!(self.process.look(), Ok(Some(_)) | Err(_))
    }

    /// How the process has ended; `None` if it has not, or if that is unknown.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.process.look() {
            Ok(Some(End::Known(status))) => Some(status.into()),
            Ok(Some(End::Unknown) | None) | Err(_) => None,
        }
    }

    /// Wakes those who wait for the end of the process, so that they check for it.
    pub(crate) fn has_ended(&self) {
        self.process.tell_of_change();
    }

    /// The end of the process in a sentence, once it has ended.
    pub(crate) fn how_it_ended(&self) -> String {
        self.process.how_it_ended()
    }

    /// An error text for a process that has not connected yet.
    pub(crate) fn still_starting(&self) -> String {
        self.process.still_starting()
    }

    /// Whether the process has not connected yet and still may.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.process.state.lock().start, Start::UnderWay)
    }

    /// Whether the process has connected to the bus, even if it has left since.
    pub(crate) fn has_connected(&self) -> bool {
        matches!(self.process.state.lock().start, Start::Connected)
    }

    /// Notes that the plugin has connected.
    pub(crate) fn connected(&self) {
        self.started_as(Start::Connected);
    }

    /// Notes that the process will not connect any more, and why.
    pub(crate) fn failed(&self, why: String) {
        self.started_as(Start::Failed(why));
    }

    fn started_as(&self, start: Start) {
        self.process.state.lock().start = start;
        self.process.tell_of_change();
    }

    /// Sends SIGTERM to the process and its group.
    pub(crate) fn terminate(&self) {
        let mut state = self.process.state.lock();
        state.stopping = true;
        let _ = self.process.signal_all(Signal::SIGTERM);
    }

    /// Whether the process and all others of its group have ended.
    pub(crate) fn is_over(&self) -> bool {
        if !self.reap() {
            return false;
        }
        // Kernels before 6.9 can neither report on the rest of the group nor signal it now. Members that have ended may remain as zombies,
        // which this process cannot reap.
        signal(self.pidfd(), 0, Whom::Group).is_err() || !descent::group_is_alive(self.id())
    }

    /// Sends SIGKILL to the process and its group.
    pub(crate) fn kill(&self) {
        let _ = self.process.kill();
    }
}

/// A process that was just started. Dropping this kills it, unless it was taken over before.
#[derive(Debug)]
pub(crate) struct Fresh(Option<Tracked>);

impl Fresh {
    pub(crate) fn new(tracked: Tracked) -> Fresh {
        Fresh(Some(tracked))
    }

    /// Takes the process over; `None` if that was done before.
    pub(crate) fn keep(mut self) -> Option<Tracked> {
        self.0.take()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(tracked) = self.0.take() {
            tracked.kill();
            // After SIGKILL the process ends almost at once.
            let _ = tracked.handle().wait(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    use callgate_layout::sys::process::is_unreaped_child;
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;

    fn start(script: &str) -> Tracked {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0);
        Tracked::new("x".into(), command.spawn().unwrap()).unwrap()
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    /// In a host that reaps all children itself, waiting for a child returned an error every time.
    #[test]
    fn an_end_that_somebody_else_took_in_is_told() {
        let tracked = start("exit 7");
        waitpid(Pid::from_raw(tracked.id() as i32), None).unwrap();
        match tracked.handle().wait(PATIENCE) {
            Ok(status) => assert_eq!(status.unwrap().code(), Some(7)),
            // Kernels before Linux 6.15.
            Err(error) => assert!(error.to_string().contains("has ended"), "{error}"),
        }
        assert!(tracked.reap() && tracked.is_over());
        tracked.handle().kill().unwrap();
    }

    /// A kill by process number hit another process that got the number after the child was reaped.
    #[test]
    fn nobody_else_is_killed_after_the_end() {
        let tracked = start("exit 0");
        waitpid(Pid::from_raw(tracked.id() as i32), None).unwrap();
        let by_group = tracked.process.signal_group(Signal::SIGKILL);
        let reached = by_group.is_ok() && is_unreaped_child(tracked.pidfd());
        assert!(!reached, "the number may be another's");
        let by_pidfd = signal(tracked.pidfd(), 0, Whom::Process).unwrap_err();
        assert_eq!(by_pidfd.raw_os_error(), Some(Errno::ESRCH as i32));
    }

    /// A process that was started just after the broker had stopped went on running.
    #[test]
    fn a_child_that_nobody_takes_over_is_killed() {
        let tracked = start("sleep 1000 & wait");
        let child = tracked.handle();
        drop(Fresh::new(tracked));
        assert!(child.wait(PATIENCE).unwrap().is_some());
    }
}
