//! Connecting to a broker: finding its socket, saying hello, mapping the plugin's own pages.

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

/// How a plugin reaches its broker.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The path of the broker's socket.
    pub(crate) path: Option<PathBuf>,
    /// A socket that is connected already.
    pub(crate) descriptor: Option<OwnedFd>,
    /// Whether a connection that a broker has left to this process is used.
    pub(crate) inherits: bool,
}

/// A connection on which nothing was said yet.
pub(crate) struct Reached {
    pub(crate) socket: OwnedFd,
    pub(crate) broker: BrokerName,
    /// The host's process, where it has started this one.
    pub(crate) host: Option<OwnedFd>,
    /// Where the next broker is found when this one has ended; `None` for a connection that was given to
    /// this process.
    pub(crate) place: Option<Place>,
}

impl Reach {
    /// Connects to the broker.
    pub(crate) fn connect(&self, until: Instant) -> Result<Reached> {
        // Descriptors that libraries make take what is free, and are not to be 0 to 2.
        standard::fill().map_err(|error| system("opening /dev/null", &error))?;
        match self.given() {
            Some(found) => Reached::new(found?, None),
            None => Reached::at(&Place::resolve(&self.named())?, until),
        }
    }

    /// The connection that was given to this process, if one was.
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

    /// The path of the socket.
    fn named(&self) -> PathBuf {
        let variable = || std::env::var_os("CALLGATE_SOCKET").map(PathBuf::from);
        let named = self.path.clone().or_else(variable);
        named.unwrap_or_else(socket::default_socket)
    }
}

impl Reached {
    /// Connects to the broker that listens at a place, the first one or a later one.
    pub(crate) fn at(place: &Place, until: Instant) -> Result<Reached> {
        let found = place.connect(until)?.into();
        Reached::new(found, Some(place.clone()))
    }

    /// A socket that a host has connected.
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

/// What a broker says to a plugin that it takes in.
pub(crate) struct Welcome {
    /// The bus's number.
    pub(crate) bus: u64,
    pub(crate) plugin: u64,
    pub(crate) limits: PluginLimits,
    /// Which broker it is.
    pub(crate) broker: BrokerFacts,
    pub(crate) memory: OwnMemory,
}

/// A doorbell that plugins of this process share, and how it is named.
pub(crate) type SharedDoorbell = (DoorbellName, OwnDoorbell);

/// Says hello and takes the answer. `shared` are the doorbells that the hello names.
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
        // It lies in a connection that the program found in the environment by itself.
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

/// Waits for one record, before there is a thread that does so.
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

/// Maps doorbell and status page, the descriptors of a welcome; only the latter where the doorbell is
/// shared.
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
