//! One connection, and the plugin on it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::{DoorbellName, Failure, MAX_RECORD, SessionToPlugin, ToPlugin};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::{fdpass, memfd};
use callgate_layout::view::ReadView;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};

use super::outgoing::Outgoing;
use super::tokens::{Kind, token};
use crate::id::PluginId;
use crate::quota::{Quota, TokenBucket};

/// How many records of a connection are read and dropped when it ends.
const MAX_DRAINED: usize = 4096;

/// A doorbell page, which several plugins of one process may share.
#[derive(Clone, Debug)]
pub(crate) struct DoorbellPage {
    pub(crate) file: Arc<OwnedFd>,
    /// The plugin that the page was made for.
    pub(crate) first: PluginId,
}

impl DoorbellPage {
    /// Makes a doorbell page, with the seals that it keeps.
    fn new(first: PluginId) -> io::Result<DoorbellPage> {
        let file = memfd::create("callgate-doorbell", DOORBELL_LEN)?;
        memfd::seal_seals(file.as_fd())?;
        let file = Arc::new(file);
        Ok(DoorbellPage { file, first })
    }
}

/// The two pages that a plugin shares with its peers.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) doorbell: DoorbellPage,
    pub(crate) status: Arc<OwnedFd>,
}

impl Pages {
    /// Makes both pages for a plugin; only the status page if it shares a doorbell.
    pub(crate) fn new(plugin: PluginId, shared: Option<DoorbellPage>) -> io::Result<Pages> {
        let doorbell = shared.map_or_else(|| DoorbellPage::new(plugin), Ok)?;
        let status = memfd::create("callgate-status", STATUS_LEN)?;
        Ok(Pages {
            doorbell,
            status: Arc::new(status),
        })
    }

    /// Maps the status page for reading.
    pub(crate) fn read_status(&self) -> io::Result<ReadView> {
        let status = self.status.try_clone()?;
        let page = Mapping::read_only(status, STATUS_LEN)?;
        Ok(ReadView::new(page))
    }
}

/// What must be true of the plugin on a connection that the broker itself has made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The process that must send the hello.
    pub(crate) sender: Option<u32>,
    /// The name that a program was started with, and that it must say.
    pub(crate) name: Option<String>,
    /// The name that the plugin must say, and that has a policy of its own for as long as this connection lasts.
    pub(crate) lent: Option<String>,
}

impl Expected {
    /// The name that the plugin must say.
    pub(crate) fn says(&self) -> Option<&str> {
        self.name.as_deref().or(self.lent.as_deref())
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: PluginId,
    pub(crate) socket: OwnedFd,
    pub(crate) process: Arc<OwnedFd>,
    /// Whether the end of the process is watched for this session. Not for the broker's own process, and not for a child, which is watched
    /// as a child.
    watches_process: bool,
    pub(crate) pid: u32,
    pub(crate) expected: Expected,
    pub(crate) pages: Option<Pages>,
    /// The doorbell that the plugin wants to share.
    pub(crate) shares: Option<DoorbellName>,
    pub(crate) outgoing: Outgoing,
    pub(crate) bucket: TokenBucket,
    /// The listings on their way to the plugin.
    pub(crate) listings: Quota,
    /// Whether the session is in the queue of those that may have something to read.
    pub(crate) queued: bool,
    /// Why the session ends, while the broker waits to tell that together with how the process has ended.
    pub(crate) lost: Option<Failure>,
    watches_writable: bool,
}

/// The parts of a new session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    pub(crate) process: Arc<OwnedFd>,
    pub(crate) watches_process: bool,
    pub(crate) pid: u32,
    pub(crate) expected: Expected,
}

impl Session {
    pub(crate) fn new(
        id: PluginId,
        connection: Connection,
        queue: usize,
        bucket: TokenBucket,
    ) -> Session {
        Session {
            id,
            socket: connection.socket,
            process: connection.process,
            watches_process: connection.watches_process,
            pid: connection.pid,
            expected: connection.expected,
            pages: None,
            shares: None,
            outgoing: Outgoing::new(queue),
            bucket,
            listings: Quota::new(1),
            queued: false,
            lost: None,
            watches_writable: false,
        }
    }

    /// The doorbell page of this session, if it was made for this plugin.
    pub(crate) fn doorbell_of(&self, first: u64) -> Option<&DoorbellPage> {
        let doorbell = &self.pages.as_ref()?.doorbell;
        (doorbell.first.0 == first).then_some(doorbell)
    }

    /// Watches the socket and the process.
    pub(crate) fn watch(&self, registry: &Registry) -> io::Result<()> {
        let (socket, process) = (self.socket.as_raw_fd(), self.process.as_raw_fd());
        let readable = Interest::READABLE;
        registry.register(
            &mut SourceFd(&socket),
            token(Kind::Socket, self.id.0),
            readable,
        )?;
        if !self.watches_process {
            return Ok(());
        }
        registry.register(
            &mut SourceFd(&process),
            token(Kind::Process, self.id.0),
            readable,
        )
    }

    /// Watches another process instead of the one that the connection was made for.
    pub(crate) fn replace_process(
        &mut self,
        registry: &Registry,
        pid: u32,
        pidfd: OwnedFd,
    ) -> io::Result<()> {
        let raw = pidfd.as_raw_fd();
        let token = token(Kind::Process, self.id.0);
        registry.register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        if self.watches_process {
            let _ = registry.deregister(&mut SourceFd(&self.process.as_raw_fd()));
        }
        self.process = Arc::new(pidfd);
        self.watches_process = true;
        self.pid = pid;
        Ok(())
    }

    /// Begins or ends waiting for room in the socket.
    pub(crate) fn watch_writable(&mut self, registry: &Registry, wanted: bool) -> io::Result<()> {
        if wanted == self.watches_writable {
            return Ok(());
        }
        self.watches_writable = wanted;
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let socket = self.socket.as_raw_fd();
        registry.reregister(
            &mut SourceFd(&socket),
            token(Kind::Socket, self.id.0),
            interest,
        )
    }

    /// Receives one datagram, with one descriptor at most.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<fdpass::Received> {
        fdpass::receive_one(self.socket.as_fd(), buffer)
    }

    /// Sends a last record if the socket takes it, and closes the connection.
    pub(crate) fn close(self, registry: &Registry, last: SessionToPlugin) {
        // Deregistered explicitly, because a copy of the descriptor that is still on its way to another process would keep it in the poll
        // set.
        let process = self.watches_process.then(|| self.process.as_raw_fd());
        for fd in [Some(self.socket.as_raw_fd()), process]
            .into_iter()
            .flatten()
        {
            let _ = registry.deregister(&mut SourceFd(&fd));
        }
        hang_up(&self.socket, last);
    }

    /// Whether the plugin has closed its end, even if records of it are unread.
    pub(crate) fn is_hung_up(&self) -> bool {
        // `POLLHUP` is always reported.
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        let found = poll(&mut polled, PollTimeout::ZERO).is_ok();
        let events = polled[0].revents().filter(|_| found);
        events.is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Takes a request into account. Returns whether it is within the allowed rate.
    pub(crate) fn may_request(&mut self, now: Instant) -> bool {
        self.bucket.take(now)
    }
}

/// Sends a last record over a socket if that takes it, and shuts the socket down for both sides.
pub(super) fn hang_up(socket: &OwnedFd, last: SessionToPlugin) {
    if let Ok(bytes) = ToPlugin::from(last).encode() {
        let _ = fdpass::send(socket.as_fd(), &bytes, &[]);
    }
    // If records were left unread at the close, the plugin would see a reset connection instead of the last record.
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
    let mut buffer = vec![0; MAX_RECORD];
    for _ in 0..MAX_DRAINED {
        match fdpass::receive_plain(socket.as_fd(), &mut buffer) {
            Ok(received) if received.len > 0 => {}
            _ => break,
        }
    }
}
