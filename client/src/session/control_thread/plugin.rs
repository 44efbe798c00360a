//! The part of the control thread's work that belongs to one membership of a plugin.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{LinkEnd, ToBroker};
use callgate_layout::sys::fdpass;
use callgate_layout::sys::process::exit_status;
use callgate_layout::view::WriteView;

use mio::Token;
use mio::event::Event;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::pace::Pace;
use super::poller::Poller;
use crate::base::error::{Error, Result};
use crate::events::feed::Sender;
use crate::events::peers::Peer;
use crate::link::peer::Caller;
use crate::session::events::feeds::FeedSchemas;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::schemas::Schemas;

/// How many records of one plugin are read before the other plugins get their turn.
const BATCH: u32 = 64;

/// How long the broker may take to say how a peer's process has ended, which it hears of as this thread does. So long those who wait
/// for the peer are told nothing.
const TELLING: Duration = Duration::from_millis(2);

/// One membership of a plugin, with everything that the control thread watches for it: broker, peers and host.
pub(super) struct WatchedPlugin {
    /// Its number on this thread.
    pub(super) number: u64,
    pub(super) state: Arc<PluginState>,
    pub(super) membership: Arc<Membership>,
    /// The token of the broker's socket.
    socket: Token,
    /// The process of the host, watched for its end; the descriptor stays open meanwhile.
    host: Option<(Token, OwnedFd)>,
    /// Own outboxes of links whose peer has not been sent yet.
    pub(super) outboxes: HashMap<LinkEnd, WriteView>,
    /// The processes of linked peers.
    pub(super) peers: HashMap<Token, (LinkEnd, Arc<OwnedFd>)>,
    /// Peers and senders whose processes have ended, and until when the broker may say how they ended.
    ending: Vec<(Token, Instant)>,
    /// The plugins that listen to this one's events, with their processes.
    pub(super) listeners: HashMap<Token, (Weak<Peer>, Arc<OwnedFd>)>,
    /// The plugins whose events this one hears, with their numbers and processes.
    pub(super) senders: HashMap<Token, (u64, Weak<Sender>, Arc<OwnedFd>)>,
    /// When to look next for idle extents and buffers; `None` while there are none at all.
    pub(super) next_tidy: Option<Instant>,
    pub(super) is_connected: bool,
    pub(super) schemas: Schemas,
    pub(super) feed_schemas: FeedSchemas,
    /// Whether the poll reports when the socket has room.
    watches_writable: bool,
    /// The broker's questions how the dispatcher is doing that are not answered yet, by their numbers.
    pub(super) asked: Vec<u32>,
    /// The version that the dispatcher was asked to look at for the last such question.
    pub(super) looks: Option<u64>,
}

impl WatchedPlugin {
    /// Begins to watch the broker's socket, and the process of the host.
    pub(super) fn new(
        poller: &mut Poller,
        (number, state, membership): (u64, Arc<PluginState>, Arc<Membership>),
        host: Option<OwnedFd>,
    ) -> io::Result<WatchedPlugin> {
        // Set first: from here on this thread handles what the poll reports.
        let connection = &membership.connection;
        connection.be_control_thread(poller.waker());
        let socket = poller.watch(number, connection.socket())?;
        let host = match host {
            Some(host) => match poller.watch(number, &host) {
                Ok(token) => Some((token, host)),
                Err(error) => {
                    poller.unwatch(socket, connection.socket());
                    return Err(error);
                }
            },
            None => None,
        };
        Ok(WatchedPlugin {
            number,
            state,
            membership,
            socket,
            host,
            outboxes: HashMap::new(),
            peers: HashMap::new(),
            ending: Vec::new(),
            listeners: HashMap::new(),
            senders: HashMap::new(),
            next_tidy: None,
            is_connected: true,
            schemas: Schemas::default(),
            feed_schemas: FeedSchemas::default(),
            watches_writable: false,
            asked: Vec::new(),
            looks: None,
        })
    }

    /// Returns when the thread must look at this plugin even if no event arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        let ending = self.ending.iter().map(|(_, until)| *until);
        ending.chain(self.next_tidy).min()
    }

    /// Stops watching everything of this membership.
    pub(super) fn unwatch(self, poller: &mut Poller) {
        poller.unwatch(self.socket, self.membership.connection.socket());
        if let Some((token, host)) = &self.host {
            poller.unwatch(*token, host);
        }
        for (token, (_, process)) in &self.peers {
            poller.unwatch(*token, process);
        }
        for (token, (_, process)) in &self.listeners {
            poller.unwatch(*token, process);
        }
        for (token, (_, _, process)) in &self.senders {
            poller.unwatch(*token, process);
        }
    }
}

/// Kills this process, because its host was killed or has ended without ending its plugins. Nobody else would end
/// it, and its other threads have nobody left to work for.
fn end_with_host() {
    let _ = kill(Pid::this(), Signal::SIGKILL);
}

/// A plugin for which the control thread is working, with the thread's own tools.
pub(super) struct PluginWork<'a> {
    pub(super) plugin: &'a mut WatchedPlugin,
    pub(super) poller: &'a mut Poller,
    /// The pace of this thread, for all its plugins.
    pub(super) pace: &'a mut Pace,
    pub(super) buffer: &'a mut [u8],
}

impl PluginWork<'_> {
    /// Handles an event. Returns whether the socket may have more records than were read.
    pub(super) fn event(&mut self, event: &Event) -> bool {
        let token = event.token();
        if token == self.plugin.socket {
            if event.is_writable() {
                self.flush();
            }
            return self.read_socket();
        }
        if self
            .plugin
            .host
            .as_ref()
            .is_some_and(|host| host.0 == token)
        {
            end_with_host();
        } else if !self.listener_ended(token) {
            return self.peer_ended(token);
        }
        false
    }

    /// Sends records that wait, now that the socket has room.
    fn flush(&mut self) {
        let connection = &self.plugin.membership.connection;
        let (socket, broker) = (connection.socket(), connection.broker());
        let sent = connection.outgoing().flush(socket, broker);
        self.went(sent.map(drop));
    }

    /// Has the poll report when the socket has room, while records wait for that.
    pub(super) fn watch_writable(&mut self) {
        let plugin = &mut *self.plugin;
        let connection = &plugin.membership.connection;
        let wanted = plugin.is_connected && !connection.outgoing().is_empty();
        if wanted == plugin.watches_writable || !plugin.is_connected {
            return;
        }
        let socket = connection.socket();
        match self.poller.watch_writable(plugin.socket, socket, wanted) {
            Ok(()) => plugin.watches_writable = wanted,
            Err(error) => {
                let text = format!("waiting for the broker to read: {error}");
                self.over(&Error::new(Code::System, text));
            }
        }
    }

    /// Reads and handles up to `BATCH` records. Returns whether there may be more.
    pub(super) fn read_socket(&mut self) -> bool {
        for _ in 0..BATCH {
            if !self.plugin.is_connected {
                return false;
            }
            let socket = self.plugin.membership.connection.socket();
            match fdpass::receive(socket.as_fd(), self.buffer) {
                Ok(received) if received.len == 0 => self.disconnected("its socket closed"),
                Ok(received) => self.datagram(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.disconnected(&error.to_string()),
            }
        }
        true
    }

    fn disconnected(&mut self, why: &str) {
        self.over(&self.plugin.membership.connection.broker().gone(why));
    }

    pub(super) fn over(&mut self, reason: &Error) {
        let plugin = &mut *self.plugin;
        plugin.is_connected = false;
        plugin.outboxes.clear();
        plugin.schemas.clear();
        plugin.feed_schemas.clear();
        let connection = &plugin.membership.connection;
        connection.outgoing().clear();
        self.poller.unwatch(plugin.socket, connection.socket());
        plugin.state.disconnected(&plugin.membership, reason);
    }

    /// Sends a record, or queues it until the broker reads.
    pub(super) fn send(&mut self, record: &ToBroker) {
        let sent = self.plugin.membership.send(record);
        self.went(sent);
    }

    /// Ends the session if nothing can be sent any more. If the broker has gone, that is not done here: what it has
    /// said last, or the end of the connection, is read next.
    fn went(&mut self, sent: Result<()>) {
        if let Err(error) = sent
            && error.code() != Code::BrokerGone
        {
            self.over(&error);
        }
    }

    /// Handles the end of the process of a linked peer, or of a sender of events. Returns whether the socket may have
    /// more records than were read.
    fn peer_ended(&mut self, token: Token) -> bool {
        // The broker may already have sent how the peer has ended.
        let has_more = self.read_socket();
        let plugin = &mut *self.plugin;
        let of_peer = plugin.peers.get(&token).map(|(_, process)| process);
        let of_sender = plugin.senders.get(&token).map(|(_, _, process)| process);
        let Some(process) = of_peer.or(of_sender) else {
            return has_more;
        };
        match plugin.is_connected && exit_status(process.as_fd()).is_none() {
            // It says so in a moment, as a rule.
            true => plugin.ending.push((token, Instant::now() + TELLING)),
            false => self.process_ended(token),
        }
        has_more
    }

    /// Ends what peers and senders had that have ended, where the broker has not said in time how.
    pub(super) fn end_untold(&mut self) {
        let now = Instant::now();
        let is_due = |(_, until): &mut (Token, Instant)| *until <= now;
        let due: Vec<_> = self.plugin.ending.extract_if(.., is_due).collect();
        for (token, _) in due {
            self.process_ended(token);
        }
    }

    fn process_ended(&mut self, token: Token) {
        if !self.sender_ended(token) {
            self.link_of_ended(token);
        }
    }

    /// The process at the other end of a link has ended, and nobody says more of it.
    fn link_of_ended(&mut self, token: Token) {
        let Some((end, process)) = self.plugin.peers.get(&token) else {
            return;
        };
        let link = self.plugin.membership.link(*end);
        let error = ended(link.as_ref().map(|link| link.peer()), process);
        self.link_gone(*end, &error);
    }

    pub(super) fn link_gone(&mut self, end: LinkEnd, reason: &Error) {
        let plugin = &mut *self.plugin;
        plugin.outboxes.remove(&end);
        plugin.membership.end_link(end, reason);
        let is_its = |_: &Token, (other, _): &mut (LinkEnd, _)| *other == end;
        for (token, (_, process)) in plugin.peers.extract_if(is_its) {
            self.poller.unwatch(token, &process);
            plugin.ending.retain(|(ending, _)| *ending != token);
        }
    }
}

/// The error for what a plugin had whose process has ended; with how it ended, if that is known.
pub(super) fn ended(who: Option<&Caller>, process: &OwnedFd) -> Error {
    let text = match who {
        Some(who) => format!("plugin `{}` (pid {}) has ended", who.name(), who.pid()),
        None => "the plugin's process has ended".to_owned(),
    };
    let error = Error::new(Code::ProviderGone, text);
    match exit_status(process.as_fd()) {
        Some(exit) => error.with_context(exit_context(exit)),
        None => error,
    }
}

/// The context of errors on a link whose peer's process has ended, in the same form as the broker's.
fn exit_context(exit: ExitStatus) -> Value {
    match (exit.code(), exit.signal()) {
        (Some(code), _) => json!({ "exit": { "code": code } }),
        (None, signal) => json!({ "exit": { "signal": signal } }),
    }
}
