//! Connecting to a broker: finding its socket, sending `Hello`, mapping the plugin's own pages.

mod inherited;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use callgate_layout::control::{
    BrokerFacts, DoorbellName, MAX_RECORD, PluginLimits, SessionToBroker, SessionToPlugin,
    ToBroker, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN, Status};
use callgate_layout::sys::fdpass::{self, Received};
use callgate_layout::sys::limits::Shortage;
use callgate_layout::sys::standard;
use callgate_layout::{Code, socket};
use nix::poll::PollFlags;

use super::broker::BrokerName;
use super::connection::{failure, send, wait_for};
use super::mapping::{map_writable, system};
use super::place::Place;
use crate::base::error::{Error, Result};
use crate::link::own_memory::{OwnDoorbell, OwnMemory};
use inherited::Found;

/// Settings for how a plugin finds its broker.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The path of the broker's socket, if given.
    pub(crate) path: Option<PathBuf>,
    /// A socket that is already connected, if given.
    pub(crate) descriptor: Option<OwnedFd>,
    /// Whether a connection that a broker has left to this process may be used.
    pub(crate) inherits: bool,
}

/// A connected socket on which nothing was sent yet.
pub(crate) struct Reached {
    pub(crate) socket: OwnedFd,
    pub(crate) broker: BrokerName,
    /// The process of the host, if it has started this one.
    pub(crate) host: Option<OwnedFd>,
    /// Where the next broker is found when this one has ended; `None` for a connection that this process was given.
    pub(crate) place: Option<Place>,
}

impl Reach {
    /// Connects to the broker.
    pub(crate) fn connect(&self, until: Instant) -> Result<Reached> {
        // Libraries open descriptors at the lowest free number, which must not be one of 0 to 2.
        standard::fill().map_err(|error| system("opening /dev/null", &error))?;
        match self.given() {
            Some(found) => Reached::new(found?, None),
            None => Reached::at(&Place::resolve(&self.named())?, until),
        }
    }

    /// The connection that was given to this process, if any.
    fn given(&self) -> Option<Result<Found>> {
        if let Some(descriptor) = &self.descriptor {
            let socket = descriptor.try_clone().map(Found::from);
            return Some(socket.map_err(|error| system("duplicating the socket", &error)));
        }
        match self.path.is_none() && self.inherits {
            true => inherited::take(),
            false => None,
        }
    }

    /// The path of the socket: the given one, that of `CALLGATE_SOCKET`, or the default.
    fn named(&self) -> PathBuf {
        let variable = || std::env::var_os("CALLGATE_SOCKET").map(PathBuf::from);
        let named = self.path.clone().or_else(variable);
        named.unwrap_or_else(socket::default_socket)
    }
}

impl Reached {
    /// Connects to the broker that listens at a place.
    pub(crate) fn at(place: &Place, until: Instant) -> Result<Reached> {
        let found = place.connect(until)?.into();
        Reached::new(found, Some(place.clone()))
    }

    /// Uses a socket that the host has connected.
    pub(crate) fn by(socket: OwnedFd) -> Result<Reached> {
        standard::fill().map_err(|error| system("opening /dev/null", &error))?;
        Reached::new(socket.into(), None)
    }

    fn new(found: Found, place: Option<Place>) -> Result<Reached> {
        let socket =
            standard::above(found.socket).map_err(|error| system("moving the socket", &error))?;
        Ok(Reached {
            socket,
            broker: found.broker,
            host: found.host,
            place,
        })
    }
}

/// What a broker sends to a plugin that it has accepted.
pub(crate) struct Welcome {
    /// The bus's number.
    pub(crate) bus: u64,
    pub(crate) plugin: u64,
    pub(crate) limits: PluginLimits,
    /// Facts about the broker.
    pub(crate) broker: BrokerFacts,
    pub(crate) memory: OwnMemory,
}

/// A doorbell that plugins of this process share, with its name.
pub(crate) type SharedDoorbell = (DoorbellName, OwnDoorbell);

/// Sends `Hello` and waits for the answer. `shared` are the doorbells that the record names.
pub(crate) fn greet(
    reached: &Reached,
    (hello, shared): (&ToBroker, Vec<SharedDoorbell>),
    until: Instant,
) -> Result<Welcome> {
    let Reached { socket, broker, .. } = reached;
    send(socket, broker, hello)?;
    let (mut record, mut received) = receive_one(socket, broker, until)?;
    let is_invitation = |record: &ToPlugin| {
        matches!(
            record,
            ToPlugin::Session(SessionToPlugin::Invitation { .. })
        )
    };
    if is_invitation(&record) {
        // A connection that the program found in its environment begins with an invitation; the welcome comes next.
        (record, received) = receive_one(socket, broker, until)?;
    }
    if received.cut {
        let what = "this process could not receive its doorbell and status page";
        return Err(Error::new(Code::System, format!("{what}: {Shortage}")));
    }
    let (bus, plugin, limits, facts) = match record {
        ToPlugin::Session(SessionToPlugin::Welcome {
            bus,
            plugin,
            limits,
            broker,
        }) => (bus, plugin, limits, broker),
        ToPlugin::Session(SessionToPlugin::Ended(why)) => return Err(failure(why)),
        other => return Err(unexpected(&other)),
    };
    send(socket, broker, &SessionToBroker::Took.into())?;
    let shared = shared.into_iter().find(|(name, _)| name.bus == bus);
    let memory = map_pages(received, shared.map(|(_, doorbell)| doorbell))?;
    send(socket, broker, &SessionToBroker::StatusMapped.into())?;
    Ok(Welcome {
        bus,
        plugin,
        limits,
        broker: facts,
        memory,
    })
}

/// Waits for one record, while there is no thread yet that reads records.
fn receive_one(
    socket: &OwnedFd,
    broker: &BrokerName,
    until: Instant,
) -> Result<(ToPlugin, Received)> {
    let mut buffer = vec![0; MAX_RECORD];
    loop {
        match fdpass::receive(socket.as_fd(), &mut buffer) {
            Ok(received) if received.len == 0 => {
                return Err(broker.gone("it closed the connection without a word"));
            }
            Ok(received) => {
                let record = ToPlugin::decode(&buffer[..received.len])
                    .map_err(|error| broker.undecodable(&error))?;
                return Ok((record, received));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !wait_for(socket, PollFlags::POLLIN, until) {
                    return Err(broker.is_late("did not answer the hello"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broker.gone(&error.to_string())),
        }
    }
}

/// Maps doorbell and status page from the descriptors of a welcome. If the doorbell is shared, the welcome has only
/// the status page.
fn map_pages(received: Received, shared: Option<OwnDoorbell>) -> Result<OwnMemory> {
    let mut descriptors = received.descriptors;
    let status = descriptors.pop();
    let (doorbell, status) = match (status, descriptors.pop(), shared) {
        (Some(status), Some(doorbell), _) => {
            let page = map_writable(doorbell, DOORBELL_LEN)?;
            (OwnDoorbell::new(page), status)
        }
        (Some(status), None, Some(shared)) => (shared, status),
        _ => {
            let text = "the broker's welcome lacks its two descriptors";
            return Err(Error::new(Code::Protocol, text));
        }
    };
    let status = map_writable(status, STATUS_LEN)?;
    Ok(OwnMemory::new(doorbell, Status::new(status)))
}

fn unexpected(record: &ToPlugin) -> Error {
    Error::new(
        Code::Protocol,
        format!("the broker answered a hello with {record:?}"),
    )
}
