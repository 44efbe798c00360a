//! The control thread: hears the broker, sets links up, and watches the peers' processes, so
//! that a death is noticed without the broker too.

mod memory;
mod records;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{LinkEnd, MAX_RECORD, ToBroker};
use callgate_layout::sys::fdpass;
use callgate_layout::view::WriteView;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::mapping::system;
use super::plugin_state::PluginState;
use crate::base::error::{Error, Result};
use crate::base::thread;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
const HOST: Token = Token(2);
const FIRST_PEER: usize = 3;

/// The control thread, as its plugin holds it.
pub(crate) struct ControlThread {
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    /// Starts the thread. Where `host` is a process that has started this one, this one ends with
    /// it.
    pub(crate) fn start(state: &Arc<PluginState>, host: Option<OwnedFd>) -> Result<ControlThread> {
        let failed = |error| system("the control thread", &error);
        let poll = Poll::new().map_err(failed)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(failed)?;
        poll.registry()
            .register(
                &mut SourceFd(&state.connection.socket().as_raw_fd()),
                SOCKET,
                Interest::READABLE,
            )
            .map_err(failed)?;
        if let Some(host) = &host {
            let mut process = SourceFd(&host.as_raw_fd());
            let watched = poll
                .registry()
                .register(&mut process, HOST, Interest::READABLE);
            watched.map_err(failed)?;
        }
        let work = Work {
            state: state.clone(),
            poll,
            _host: host,
            buffer: vec![0; MAX_RECORD],
            outboxes: HashMap::new(),
            peers: HashMap::new(),
            next_token: FIRST_PEER,
            next_tidy: None,
            is_connected: true,
            watches_writable: false,
        };
        let thread = thread::spawn("callgate-control", move || work.run())?;
        Ok(ControlThread {
            waker,
            thread: Some(thread),
        })
    }

    /// Leaves the thread alone: in a forked child there is none.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }

    pub(crate) fn stop(&mut self) {
        // Without a wake-up the thread would be left asleep; it holds nothing but its own.
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            thread::join(thread);
        }
    }
}

/// Kills this process, whose host was killed or has ended without ending its plugins: nobody would
/// do so later, and whatever its other threads do, they do it for nobody.
fn end_with_host() {
    let _ = kill(Pid::this(), Signal::SIGKILL);
}

struct Work {
    state: Arc<PluginState>,
    poll: Poll,
    /// Kept open while it is watched.
    _host: Option<OwnedFd>,
    buffer: Vec<u8>,
    /// Own outboxes of links whose other side is not there yet.
    outboxes: HashMap<LinkEnd, WriteView>,
    /// The processes of linked peers.
    peers: HashMap<Token, (LinkEnd, Arc<OwnedFd>)>,
    next_token: usize,
    /// When extents and buffers are looked through for idle ones; `None` while there are none.
    next_tidy: Option<Instant>,
    is_connected: bool,
    /// Whether the poll says when the socket has room.
    watches_writable: bool,
}

impl Work {
    fn run(mut self) {
        self.state.connection.be_control_thread();
        let mut events = Events::with_capacity(64);
        loop {
            let patience = self
                .next_tidy
                .map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.state.disconnected(&Error::new(
                        Code::System,
                        format!("waiting for the broker: {error}"),
                    ));
                    return;
                }
            }
            for event in &events {
                match event.token() {
                    SOCKET => {
                        if event.is_writable() {
                            self.flush();
                        }
                        self.read_socket();
                    }
                    WAKER if self.state.provided.is_closing() => return,
                    WAKER => {}
                    HOST => end_with_host(),
                    token => self.peer_ended(token),
                }
            }
            if self.next_tidy.is_some_and(|at| at <= Instant::now()) {
                self.tidy();
            }
            self.watch_writable();
        }
    }

    /// Sends what waits for the broker to read.
    fn flush(&mut self) {
        let (socket, broker) = (
            self.state.connection.socket(),
            self.state.connection.broker(),
        );
        let sent = self.state.connection.outgoing().flush(socket, broker);
        self.went(sent.map(drop));
    }

    /// Has the poll say when the socket has room, as long as something waits for that.
    fn watch_writable(&mut self) {
        let wanted = self.is_connected && !self.state.connection.outgoing().is_empty();
        if wanted == self.watches_writable || !self.is_connected {
            return;
        }
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let socket = self.state.connection.socket().as_raw_fd();
        let registry = self.poll.registry();
        match registry.reregister(&mut SourceFd(&socket), SOCKET, interest) {
            Ok(()) => self.watches_writable = wanted,
            Err(error) => {
                let text = format!("waiting for the broker to read: {error}");
                self.over(&Error::new(Code::System, text));
            }
        }
    }

    /// Handles all records that are there.
    fn read_socket(&mut self) {
        while self.is_connected {
            match fdpass::receive(self.state.connection.socket().as_fd(), &mut self.buffer) {
                Ok(received) if received.len == 0 => self.disconnected("its socket closed"),
                Ok(received) => self.datagram(received),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => self.disconnected(&error.to_string()),
            }
        }
    }

    fn disconnected(&mut self, why: &str) {
        self.over(&self.state.connection.broker().gone(why));
    }

    fn over(&mut self, reason: &Error) {
        self.is_connected = false;
        self.outboxes.clear();
        self.state.connection.outgoing().clear();
        let _ = self
            .poll
            .registry()
            .deregister(&mut SourceFd(&self.state.connection.socket().as_raw_fd()));
        self.state.disconnected(reason);
    }

    /// Sends a record, now or when the broker reads.
    fn send(&mut self, record: &ToBroker) {
        let sent = self.state.send(record);
        self.went(sent);
    }

    /// Ends the session where nothing can be sent any more. A broker that is gone may have said why:
    /// that, or the end, is read next.
    fn went(&mut self, sent: Result<()>) {
        if let Err(error) = sent
            && error.code() != Code::BrokerGone
        {
            self.over(&error);
        }
    }

    fn peer_ended(&mut self, token: Token) {
        let Some(&(end, _)) = self.peers.get(&token) else {
            return;
        };
        let who = self
            .state
            .link(end)
            .map(|link| (link.peer().name().to_owned(), link.peer().pid()));
        let text = match who {
            Some((name, pid)) => format!("plugin {name} (process {pid}) has ended"),
            None => "the plugin's process has ended".to_owned(),
        };
        self.link_gone(end, &Error::new(Code::ProviderGone, text));
    }

    fn link_gone(&mut self, end: LinkEnd, reason: &Error) {
        self.outboxes.remove(&end);
        self.state.end_link(end, reason);
        let registry = self.poll.registry();
        self.peers.retain(|_, (other, process)| {
            let keep = *other != end;
            if !keep {
                let _ = registry.deregister(&mut SourceFd(&process.as_raw_fd()));
            }
            keep
        });
    }
}
