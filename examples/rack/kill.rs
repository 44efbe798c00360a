//! Kills a plugin at the worst moment: while it works on a call.
//!
//! It works only for microseconds, and a kill between two calls would be another case. So the host first stops it,
//! then calls it, and kills it while the call is under way.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Child;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// How long a call is under way before its plugin is killed.
const AT_WORK: Duration = Duration::from_micros(100);
/// How long a plugin may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Stops a plugin, and waits until none of its threads runs any more.
pub(crate) fn stop(plugin: &Child) -> io::Result<()> {
    let pid = Pid::from_raw(plugin.id().cast_signed());
    signal::kill(pid, Signal::SIGSTOP)?;
    let until = Instant::now() + STOP_TIMEOUT;
    let look = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
    while waitid(Id::Pid(pid), look)? == WaitStatus::StillAlive {
        if Instant::now() > until {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        thread::yield_now();
    }
    Ok(())
}

/// Kills a plugin that is [stopped](stop) while `call` waits for it. Returns the outcome of the call, and how long
/// after the kill it came.
pub(crate) fn during<R>(plugin: &Child, call: impl FnOnce() -> R) -> io::Result<(R, Duration)> {
    let is_called = AtomicBool::new(false);
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            while !is_called.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            thread::sleep(AT_WORK);
            let now = Instant::now();
            plugin.kill().map(|()| now)
        });
        is_called.store(true, Ordering::Relaxed);
        let outcome = call();
        let ended = Instant::now();
        let killed = killer.join().expect("killing does not panic")?;
        Ok((outcome, ended.saturating_duration_since(killed)))
    })
}
