//! A plugin made of control records and words in shared memory. It can do what no client does.

mod events;
mod records;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use callgate_client::{Arguments, GateType, action_signature_of, signature_of};
use callgate_layout::control::{
    Failure, GateState, GateToBroker, GateToPlugin, LinkEnd, LinkToBroker, LinkToPlugin,
    MAX_RECORD, MemoryId, MemoryToPlugin, PeerInfo, Route, SchemaSource, SessionToBroker,
    SessionToPlugin, Shape, ToBroker, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::schema::Head;
use callgate_layout::sys::fdpass;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Code, Encodings, Geometry, Signature};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::{Bus, PATIENCE};
pub use events::{Ear, Voice};
pub use records::{hello, hello_in_group, outbox_mapped, peer_mapped};

/// A connection to the broker.
#[derive(Debug)]
pub struct Raw {
    socket: OwnedFd,
    next: u32,
    /// The plugin's own status page, once it has received one.
    pub status: Option<WriteView>,
    /// Links that are being set up or are complete.
    pub links: HashMap<LinkEnd, Link>,
}

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    /// Which end it is.
    pub end: LinkEnd,
    /// How the outboxes are laid out.
    pub geometry: Geometry,
    /// This side's outbox.
    pub outbox: WriteView,
    /// This side's outbox, as the broker gave it.
    pub outbox_fd: OwnedFd,
    /// The other side, once it is complete.
    pub peer: Option<Peer>,
}

/// The other end of a link.
#[derive(Debug)]
pub struct Peer {
    /// Which plugin it is.
    pub info: PeerInfo,
    /// Its outbox.
    pub inbox: ReadView,
    /// Its doorbell.
    pub bell: Doorbell,
    /// Its outbox, its status page and its doorbell, as the broker gave them.
    pub descriptors: [OwnedFd; 3],
}

impl Raw {
    /// Connects and sends nothing.
    pub fn connect(bus: &Bus) -> Raw {
        Raw::connect_to(&bus.socket())
    }

    fn connect_to(path: &Path) -> Raw {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
        let address = UnixAddr::new(path).expect("a short path");
        connect(socket.as_raw_fd(), &address).expect("the broker listens");
        Raw {
            socket,
            next: 1,
            status: None,
            links: HashMap::new(),
        }
    }

    /// Connects and sends a correct hello.
    pub fn join(bus: &Bus, name: &str) -> Raw {
        Raw::join_at(&bus.socket(), name)
    }

    /// As [`Raw::join`], for a process that knows only the bus's socket.
    pub fn join_at(path: &Path, name: &str) -> Raw {
        let mut raw = Raw::connect_to(path);
        raw.send(hello(name));
        match raw.receive() {
            (ToPlugin::Session(SessionToPlugin::Welcome { .. }), mut descriptors) => {
                let status = descriptors.pop().expect("a status page");
                raw.status = Some(map_writable(status, STATUS_LEN));
            }
            (other, _) => panic!("{name} is not welcome: {other:?}"),
        }
        raw.send(SessionToBroker::StatusMapped);
        raw
    }

    /// Sends this hello. Returns the bus's number, the plugin's number, and the descriptors that came with the
    /// welcome.
    pub fn greet(&mut self, hello: ToBroker) -> (u64, u64, Vec<OwnedFd>) {
        self.send(hello);
        match self.receive() {
            (ToPlugin::Session(SessionToPlugin::Welcome { bus, plugin, .. }), descriptors) => {
                (bus, plugin, descriptors)
            }
            (other, _) => panic!("it is not welcome: {other:?}"),
        }
    }

    /// Sends a record.
    pub fn send(&self, record: impl Into<ToBroker>) {
        let record = record.into();
        let bytes = record.encode().expect("a short record");
        self.send_bytes(&bytes)
            .unwrap_or_else(|error| panic!("{record:?}: {error}"));
    }

    /// Sends any bytes, waiting while the broker does not read.
    pub fn send_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match fdpass::send(self.socket.as_fd(), bytes, &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < until, "the broker does not read");
                    self.wait(PollFlags::POLLOUT, Duration::from_millis(100));
                }
                outcome => return outcome,
            }
        }
    }

    /// The socket, for sending what is not a record at all.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Receives the next record, and reacts to it as the broker expects.
    pub fn receive(&mut self) -> (ToPlugin, Vec<OwnedFd>) {
        let (record, descriptors) = self
            .receive_silently(PATIENCE)
            .expect("a record from the broker");
        if !descriptors.is_empty() {
            self.send(SessionToBroker::Took);
        }
        (record, descriptors)
    }

    /// Receives the next record, if it comes in time. Does not acknowledge its descriptors.
    pub fn receive_silently(&mut self, timeout: Duration) -> Option<(ToPlugin, Vec<OwnedFd>)> {
        let until = Instant::now() + timeout;
        let mut buffer = vec![0; MAX_RECORD];
        loop {
            match fdpass::receive(self.socket.as_fd(), &mut buffer) {
                Ok(received) if received.len == 0 => return None,
                Ok(received) => {
                    let record = ToPlugin::decode(&buffer[..received.len]).expect("a record");
                    return Some((record, received.descriptors));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= until {
                        return None;
                    }
                    self.wait(PollFlags::POLLIN, Duration::from_millis(10));
                }
                Err(_) => return None,
            }
        }
    }

    fn wait(&self, flags: PollFlags, timeout: Duration) {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        // The caller looks again, whatever this returns.
        let _ = poll(&mut [PollFd::new(self.socket.as_fd(), flags)], timeout);
    }

    /// Reads on until the broker has ended the session, and returns the broker's reason.
    pub fn ended(&mut self) -> (Code, String) {
        while let Some((record, _)) = self.receive_silently(PATIENCE) {
            if let ToPlugin::Session(SessionToPlugin::Ended(failure)) = record {
                return reason(&failure);
            }
        }
        panic!("the session did not end with a word");
    }

    /// Opens a gate with the types that a client would give.
    pub fn open<A: Arguments, R: GateType>(&mut self, gate: &str) -> u32 {
        let open = self.number();
        self.send(GateToBroker::Open {
            open,
            gate: gate.into(),
            function: shape(&signature_of::<A, R>()),
            action: shape(&action_signature_of::<A>()),
        });
        open
    }

    /// Provides the function of a gate with the types that a client would give.
    pub fn provide<A: Arguments, R: GateType>(&mut self, gate: &str) {
        let request = self.number();
        let (gate, kind) = (gate.into(), CallKind::Function);
        let signature = signature_of::<A, R>();
        self.send(GateToBroker::Provide {
            request,
            gate,
            prefix: false,
            kind,
            schema: SchemaSource::Inline(signature.to_bytes().expect("a schema")),
            signature: signature.text(),
            encodings: Encodings::ARCHIVE,
            record: None,
            life: None,
        });
        let refused = self.follow(|record| match record {
            ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => Some(failure.clone()),
            ToPlugin::Gate(GateToPlugin::Provided { .. }) => Some(None),
            _ => None,
        });
        assert_eq!(refused, None);
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Reacts to each record as a client does, until `find` returns something for one.
    pub fn follow<T>(&mut self, mut find: impl FnMut(&ToPlugin) -> Option<T>) -> T {
        loop {
            let (record, descriptors) = self.receive();
            let found = find(&record);
            self.obey(record, descriptors);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Opens a gate and waits for the route to it.
    pub fn route_to<A: Arguments, R: GateType>(&mut self, gate: &str) -> Route {
        let wanted = self.open::<A, R>(gate);
        self.follow(|record| match record {
            ToPlugin::Gate(GateToPlugin::State {
                open,
                state: GateState { route, .. },
            }) if *open == wanted => *route,
            _ => None,
        })
    }

    /// As [`Raw::route_to`], for the first gate of a plugin; returns the link and the index.
    pub fn link_to<A: Arguments, R: GateType>(&mut self, gate: &str) -> (Link, u16) {
        let route = self.route_to::<A, R>(gate);
        let link = self.links.remove(&route.end).expect("the link was set up");
        (link, route.index)
    }

    /// Waits until the broker has granted a peer a gate of this plugin; returns the link.
    pub fn linked(&mut self) -> Link {
        let end = self.follow(|record| match record {
            ToPlugin::Link(LinkToPlugin::Grant { end, .. }) => Some(*end),
            _ => None,
        });
        self.links.remove(&end).expect("the link was set up")
    }

    /// Waits until a link is gone, and returns the reason.
    pub fn gone(&mut self, link: LinkEnd) -> (Code, String) {
        self.follow(|record| match record {
            ToPlugin::Link(LinkToPlugin::Gone { end, failure }) if *end == link => {
                Some(reason(failure))
            }
            _ => None,
        })
    }

    /// The next link's outbox, mapped, but not acknowledged.
    pub fn new_outbox(&mut self) -> Link {
        loop {
            let (record, descriptors) = self.receive();
            if let ToPlugin::Memory(MemoryToPlugin::Map { memory, len, .. }) = record
                && let MemoryId::Outbox { end } = memory
            {
                return Link::new(end, len, descriptors);
            }
        }
    }

    fn obey(&mut self, record: ToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            ToPlugin::Memory(MemoryToPlugin::Map {
                memory: MemoryId::Outbox { end },
                len,
                ..
            }) => {
                self.links.insert(end, Link::new(end, len, descriptors));
                self.send(outbox_mapped(end));
            }
            ToPlugin::Link(LinkToPlugin::Peer {
                end,
                peer,
                geometry,
            }) => {
                let link = self.links.get_mut(&end).expect("its outbox came first");
                link.geometry = geometry;
                link.meet(peer, descriptors);
                self.send(peer_mapped(end));
            }
            ToPlugin::Link(LinkToPlugin::Grant { end, index, .. }) => {
                self.send(LinkToBroker::GrantInstalled { end, index });
            }
            ToPlugin::Link(LinkToPlugin::Revoke { end, number, .. }) => {
                self.send(LinkToBroker::Revoked { end, number });
            }
            ToPlugin::Session(SessionToPlugin::Ended(failure)) => {
                panic!("the session ended: {failure:?}")
            }
            _ => {}
        }
    }
}

impl Link {
    /// A link of which only this side's outbox exists.
    fn new(end: LinkEnd, len: u32, descriptors: Vec<OwnedFd>) -> Link {
        // The default of the broker. The record about the peer states the geometry.
        let geometry = Geometry::DEFAULT;
        assert_eq!(len as usize, geometry.total_len());
        let [outbox_fd] = descriptors.try_into().expect("an outbox");
        let outbox = map_writable(copy(&outbox_fd), geometry.total_len());
        Link {
            end,
            geometry,
            outbox,
            outbox_fd,
            peer: None,
        }
    }

    fn meet(&mut self, info: PeerInfo, descriptors: Vec<OwnedFd>) {
        let [inbox, status, bell, _process] = descriptors.try_into().expect("four descriptors");
        let len = self.geometry.total_len();
        self.peer = Some(Peer {
            info,
            inbox: ReadView::new(Mapping::read_only(copy(&inbox), len).expect("an inbox")),
            bell: Doorbell::new(map_writable(copy(&bell), DOORBELL_LEN)),
            descriptors: [inbox, status, bell],
        });
    }

    /// The other side of a link that is set up.
    pub fn peer(&self) -> &Peer {
        self.peer.as_ref().expect("the link is set up")
    }
}

/// A second descriptor for the same file.
pub fn copy(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().expect("a descriptor")
}

fn map_writable(fd: OwnedFd, len: usize) -> WriteView {
    let mapping = Mapping::writable(fd, len).expect("a map");
    WriteView::new(mapping).expect("it is writable")
}

fn shape(signature: &Signature) -> Shape {
    let head = Head::of(&signature.to_bytes().expect("a schema")).expect("a schema");
    Shape {
        params: head.params,
        fingerprint: head.fingerprint.0,
        encodings: Encodings::ARCHIVE,
        signature: signature.text(),
    }
}

fn reason(failure: &Failure) -> (Code, String) {
    let code = Code::from_u16(failure.code).expect("a code that is known");
    (code, failure.message.clone())
}
