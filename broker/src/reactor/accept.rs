//! Accepting connections on the socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, SessionToPlugin};
use callgate_layout::sys::{limits, process};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use super::session::{Connection, Expected, hang_up};
use super::{Reactor, SCARCITY, Timer};

/// How many connections are accepted before those that are there have their turn.
const BATCH: usize = 64;

/// The process at the other end of a connection.
struct Peer {
    uid: u32,
    pid: u32,
    /// Whether it is the broker's own process.
    is_own: bool,
    process: Arc<OwnedFd>,
}

impl Reactor {
    /// Accepts a bounded number of connections.
    pub(super) fn accept(&mut self, now: Instant) {
        if let Some(socket) = self.half_accepted.take()
            && !self.take_in(socket, now)
        {
            return;
        }
        for _ in 0..BATCH {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok(socket) => {
                    if !self.take_in(socket, now) {
                        return;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return self.accept_later(&error, now),
                },
            }
        }
        // Later than now: the loop over timers that are due would otherwise find this one again, and do nothing else as long as processes
        // connect.
        let soon = now + Duration::from_nanos(1);
        self.timers.set(Timer::Accept, Some(soon));
    }

    /// Accepts later, when there are descriptors again. Until then, processes that connect wait in the socket's queue.
    fn accept_later(&mut self, error: &io::Error, now: Instant) {
        let is_news = !std::mem::replace(&mut self.accepts_late, true);
        if is_news && self.warnings.take(now) {
            let error = limits::explain(error);
            tracing::warn!("a connection cannot be accepted now and waits: {error}");
        }
        self.timers.set(Timer::Accept, Some(now + SCARCITY));
    }

    /// Makes a session of an accepted connection. Returns `false` if it has to wait for descriptors.
    fn take_in(&mut self, socket: OwnedFd, now: Instant) -> bool {
        let process = match self.process_behind(&socket) {
            Ok(process) => {
                self.accepts_late = false;
                process
            }
            Err(error) if limits::is_shortage(&error) => {
                self.half_accepted = Some(socket);
                self.accept_later(&error, now);
                return false;
            }
            Err(error) => {
                let message = format!("the broker cannot tell who connects: {error}");
                self.refuse(&socket, Failure::new(Code::System, message), now);
                return true;
            }
        };
        let adopted = self.examine(socket, process, now).map(|connection| {
            let id = self.adopt(connection, now);
            id.map(|id| {
                let due = now + self.settings.step_deadline;
                self.timers.set(Timer::Hello(id), Some(due));
                // Records that came before the socket was watched cause no event.
                self.enqueue(id);
            })
        });
        if let Ok(Err(error)) = adopted
            && self.warnings.take(now)
        {
            tracing::warn!("a connection cannot be watched: {error}");
        }
        true
    }

    /// Returns the process that made a connection.
    fn process_behind(&mut self, socket: &OwnedFd) -> io::Result<Peer> {
        let peer = getsockopt(socket, sockopt::PeerCredentials)?;
        let pid = u32::try_from(peer.pid()).unwrap_or(0);
        let is_own = pid == std::process::id();
        let process = match is_own {
            true => self.own_process()?,
            false => Arc::new(process::peer_pidfd(socket.as_fd(), pid)?),
        };
        Ok(Peer {
            uid: peer.uid(),
            pid,
            is_own,
            process,
        })
    }

    /// Returns the pidfd of the broker's own process, which all plugins in this process share.
    pub(super) fn own_process(&mut self) -> io::Result<Arc<OwnedFd>> {
        if let Some(process) = &self.own_process {
            return Ok(process.clone());
        }
        let process = Arc::new(process::pidfd_open(std::process::id())?);
        Ok(self.own_process.insert(process).clone())
    }

    /// Checks the process that connects. One that may not connect is told why.
    fn examine(&mut self, socket: OwnedFd, peer: Peer, now: Instant) -> Result<Connection, ()> {
        match self.check_peer(&peer) {
            Ok(()) => Ok(Connection {
                socket,
                process: peer.process,
                watches_process: !peer.is_own,
                pid: peer.pid,
                expected: Expected::default(),
            }),
            Err(failure) => {
                self.refuse(&socket, failure, now);
                Err(())
            }
        }
    }

    fn refuse(&mut self, socket: &OwnedFd, failure: Failure, now: Instant) {
        if self.warnings.take(now) {
            tracing::warn!("a connection is refused: {}", failure.message);
        }
        hang_up(socket, SessionToPlugin::Ended(failure));
    }

    fn check_peer(&self, peer: &Peer) -> Result<(), Failure> {
        let (uid, own) = (peer.uid, geteuid().as_raw());
        if uid != own {
            let message = format!("this bus belongs to user {own}; user {uid} may not connect");
            return Err(Failure::new(Code::PermissionDenied, message));
        }
        self.check_room()?;
        self.check_share(peer.pid)
    }

    /// Fails if the broker has as many connections as it may.
    pub(super) fn check_room(&self) -> Result<(), Failure> {
        let most = self.settings.limits.connections;
        if self.sessions.len() + self.execs.len() < most as usize {
            return Ok(());
        }
        let message = format!("the broker has {most} connections already, its limit");
        Err(full(message))
    }

    /// Fails if a process has as many connections as it may: a process that takes all would keep out the others.
    fn check_share(&self, pid: u32) -> Result<(), Failure> {
        let most = self.settings.limits.connections_per_process;
        let its_own = self.sessions.values().filter(|session| session.pid == pid);
        if its_own.count() < most as usize {
            return Ok(());
        }
        let message = format!("the process {pid} has {most} connections already, its limit");
        Err(full(message))
    }
}

/// The failure for a plugin for which there is no room now. Not `OVERLOADED`: a plugin that comes back tries again after `SYSTEM`, and
/// would not after that.
pub(super) fn full(message: String) -> Failure {
    Failure::new(Code::System, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

    use crate::settings::{BusLimits, Settings};
    use crate::socket::Listener;

    fn reactor(path: &Path) -> Reactor {
        let limits = BusLimits {
            connections: 0,
            ..BusLimits::default()
        };
        let settings = Settings {
            limits,
            step_deadline: Duration::from_secs(2),
            stop_grace: Duration::from_secs(2),
            policies: crate::policy::Policies::default(),
            children_soft: None,
            signs_of_life: None,
        };
        let listener = Listener::bind(path, false).unwrap();
        let (sender, commands) = crossbeam_channel::unbounded();
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), super::super::WAKER).unwrap();
        let way_back = super::super::WayBack::new(sender, waker.into());
        Reactor::new(poll, settings, (Some(listener), None), commands, way_back).unwrap()
    }

    fn knock(path: &Path) -> OwnedFd {
        // With a full queue, connecting fails.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        fd
    }

    /// While processes connect faster than the broker accepts, a timer that is due at once must not be handled for ever, or nothing else
    /// would be served.
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

    /// When a broker was replaced, all plugins of the bus connected at the same moment, and some found its queue full.
    #[test]
    fn a_whole_bus_can_connect_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.sock");
        let _reactor = reactor(&path);
        let knocking: Vec<OwnedFd> = (0..300).map(|_| knock(&path)).collect();
        assert_eq!(knocking.len(), 300);
    }
}
