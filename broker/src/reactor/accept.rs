//! Taking in those who connect to the socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ToPlugin};
use callgate_layout::sys::process;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use super::session::{Connection, Expected, hang_up};
use super::{Reactor, SCARCITY, Timer};

/// Connections that are taken in before it is the turn of those that are there.
const BATCH: usize = 64;

impl Reactor {
    /// Takes in a bounded number of connections.
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..BATCH {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok(socket) => self.take_in(socket, now),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        if self.warnings.take(now) {
                            tracing::warn!("a connection cannot be accepted now: {error}");
                        }
                        return self.timers.set(Timer::Accept, Some(now + SCARCITY));
                    }
                },
            }
        }
        // Later than now, or whoever takes out the timers that are due would find it again, and
        // as long as somebody connects would do nothing else.
        let soon = now + Duration::from_nanos(1);
        self.timers.set(Timer::Accept, Some(soon));
    }

    fn take_in(&mut self, socket: OwnedFd, now: Instant) {
        let adopted = self.examine(socket).map(|connection| {
            let id = self.adopt(connection, now);
            id.map(|id| {
                let due = now + self.settings.step_deadline;
                self.timers.set(Timer::Hello(id), Some(due));
                // What came before the socket was watched makes no event.
                self.enqueue(id);
            })
        });
        if let Ok(Err(error)) = adopted
            && self.warnings.take(now)
        {
            tracing::warn!("a connection cannot be watched: {error}");
        }
    }

    /// Looks at who connects; who may not is told so.
    fn examine(&mut self, socket: OwnedFd) -> Result<Connection, ()> {
        let refused = match self.peer_of(&socket) {
            Ok((pid, pidfd)) => {
                return Ok(Connection {
                    socket,
                    pidfd,
                    pid,
                    expected: Expected::default(),
                });
            }
            Err(failure) => failure,
        };
        if self.warnings.take(Instant::now()) {
            tracing::warn!("a connection is refused: {}", refused.message);
        }
        hang_up(&socket, &ToPlugin::Ended(refused));
        Err(())
    }

    fn peer_of(&self, socket: &OwnedFd) -> Result<(u32, OwnedFd), Failure> {
        let system = |error: io::Error| {
            let message = format!("the broker cannot tell who connects: {error}");
            Failure::new(Code::System, message)
        };
        let peer = getsockopt(socket, sockopt::PeerCredentials);
        let peer = peer.map_err(|errno| system(errno.into()))?;
        let (uid, own) = (peer.uid(), geteuid().as_raw());
        if uid != own {
            let message = format!("this bus belongs to user {own}; user {uid} may not connect");
            return Err(Failure::new(Code::PermissionDenied, message));
        }
        self.check_room()?;
        let pid = u32::try_from(peer.pid()).unwrap_or(0);
        self.check_share(pid)?;
        let pidfd = process::peer_pidfd(socket.as_fd(), pid).map_err(system)?;
        Ok((pid, pidfd))
    }

    /// Whether there may be one connection more.
    pub(super) fn check_room(&self) -> Result<(), Failure> {
        let most = self.settings.limits.connections;
        if self.sessions.len() + self.execs.len() < most as usize {
            return Ok(());
        }
        let message = format!("the broker has {most} connections already, its limit");
        Err(Failure::new(Code::Overloaded, message))
    }

    /// Whether a process may have one connection more: one that takes all keeps out the others.
    fn check_share(&self, pid: u32) -> Result<(), Failure> {
        let most = self.settings.limits.connections_per_process;
        let its_own = self.sessions.values().filter(|session| session.pid == pid);
        if its_own.count() < most as usize {
            return Ok(());
        }
        let message = format!("the process {pid} has {most} connections already, its limit");
        Err(Failure::new(Code::Overloaded, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

    use crate::builder::{Limits, Settings};
    use crate::socket::Listener;

    fn reactor(path: &Path) -> Reactor {
        let limits = Limits {
            connections: 0,
            ..Limits::default()
        };
        let settings = Settings {
            limits,
            step_deadline: Duration::from_secs(2),
            stop_grace: Duration::from_secs(2),
            policies: crate::policy::Policies::default(),
        };
        let listener = Listener::bind(path, false).unwrap();
        let (sender, commands) = crossbeam_channel::unbounded();
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), super::super::WAKER).unwrap();
        let way_back = super::super::WayBack::new(sender, waker.into());
        Reactor::new(poll, settings, Some(listener), commands, way_back).unwrap()
    }

    fn knock(path: &Path) -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        fd
    }

    /// While somebody connects faster than the broker accepts, a timer that is due at once
    /// would be worked off for ever, and nobody else would be served.
    #[test]
    fn after_a_full_batch_it_is_the_turn_of_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.sock");
        let mut reactor = reactor(&path);
        let _knocking: Vec<OwnedFd> = (0..=BATCH).map(|_| knock(&path)).collect();
        let now = Instant::now();
        reactor.accept(now);
        assert_eq!(reactor.timers.pop(now), None);
        let soon = reactor.timers.next().unwrap();
        assert_eq!(reactor.timers.pop(soon), Some(Timer::Accept));
        reactor.accept(soon);
        assert_eq!(reactor.timers.next(), None, "nobody waits any more");
    }
}
