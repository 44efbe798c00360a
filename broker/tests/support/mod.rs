//! A plugin made of nothing but control records: it can do everything right, and everything wrong.
// Each test binary uses its own part; what is not there fails the test.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod events;
pub(crate) mod records;
pub(crate) mod shares;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callgate::{Broker, Builder};
use callgate_layout::control::{
    Failure, GateState, GateToBroker, GateToPlugin, Identity, LinkEnd, LinkToBroker, LinkToPlugin,
    MAX_RECORD, MemoryId, MemoryToPlugin, PeerInfo, Role, SchemaSource, SessionToBroker,
    SessionToPlugin, Shape, ToBroker, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::geometry::Geometry;
use callgate_layout::pages::STATUS_LEN;
use callgate_layout::schema::Head;
use callgate_layout::sys::fdpass;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::{Code, Encodings};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use records::{outbox_mapped, peer_mapped, want};

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A deadline that tests can wait for, and that a busy machine still keeps.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// A broker on a socket in a directory of its own.
pub(crate) struct Bus {
    pub(crate) broker: Broker,
    pub(crate) socket: PathBuf,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn bus() -> Bus {
    bus_with(|builder| builder)
}

pub(crate) fn bus_with(change: impl FnOnce(Builder) -> Builder) -> Bus {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus.sock");
    let broker = change(Broker::builder().socket(&socket)).start().unwrap();
    Bus {
        broker,
        socket,
        directory,
    }
}

impl Bus {
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.socket)
    }

    /// A plugin whose hello is complete.
    pub(crate) fn plugin(&self, name: &str) -> Peer {
        let mut peer = self.connect();
        peer.join(name);
        peer
    }
}

/// One end of a link, as a correct plugin has it.
pub(crate) struct Linked {
    pub(crate) end: LinkEnd,
    pub(crate) outbox: Mapping,
    pub(crate) outbox_fd: OwnedFd,
    pub(crate) peer: Option<(PeerInfo, Vec<OwnedFd>)>,
}

pub(crate) struct Peer {
    pub(crate) socket: OwnedFd,
    pub(crate) id: u64,
    pub(crate) pages: Vec<OwnedFd>,
    pub(crate) status: Option<Mapping>,
    /// Whether datagrams with descriptors are acknowledged.
    pub(crate) takes: bool,
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        name: name.into(),
        display_name: name.to_uppercase(),
        version: "1.2.3".into(),
        clock: callgate_layout::clock::facts(),
    }
}

/// The types that a caller wants, of the kind with this number.
pub(crate) fn shape(number: u8) -> Shape {
    Shape {
        params: Some(1),
        fingerprint: fingerprint(number),
        encodings: Encodings::ARCHIVE,
        signature: format!("(u32) -> T{number}"),
    }
}

/// The bytes of a schema with one parameter, whose shape is this number.
pub(crate) fn schema(number: u8) -> Vec<u8> {
    vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, number]
}

pub(crate) fn fingerprint(number: u8) -> u128 {
    Head::of(&schema(number)).unwrap().fingerprint.0
}

pub(crate) fn code_of(failure: &Failure) -> Code {
    Code::from_u16(failure.code).unwrap()
}

pub(crate) fn inode(fd: &OwnedFd) -> u64 {
    nix::sys::stat::fstat(fd).unwrap().st_ino
}

/// Waits for something that another thread brings about.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Peer {
    pub(crate) fn connect(path: &Path) -> Peer {
        Peer::try_connect(path).unwrap()
    }

    /// `None` if nobody listens on the socket.
    pub(crate) fn try_connect(path: &Path) -> Option<Peer> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).ok()?;
        Some(Peer::on(fd))
    }

    pub(crate) fn on(socket: OwnedFd) -> Peer {
        Peer {
            socket,
            id: 0,
            pages: Vec::new(),
            status: None,
            takes: true,
        }
    }

    pub(crate) fn send(&self, record: impl Into<ToBroker>) {
        self.send_bytes(&record.into().encode().unwrap());
    }

    /// Sends bytes. Does not fail if the broker has hung up meanwhile.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        while let Err(error) = fdpass::send(self.socket.as_fd(), bytes, &[]) {
            if error.kind() != std::io::ErrorKind::WouldBlock {
                return;
            }
            self.wait(PollFlags::POLLOUT, PATIENCE);
        }
    }

    fn wait(&self, what: PollFlags, patience: Duration) -> bool {
        let mut polled = [PollFd::new(self.socket.as_fd(), what)];
        let millis = PollTimeout::try_from(patience.as_millis()).unwrap();
        poll(&mut polled, millis).unwrap() > 0
    }

    /// The next record; `None` if the broker has closed the connection.
    pub(crate) fn next(&mut self) -> Option<(ToPlugin, Vec<OwnedFd>)> {
        self.next_within(PATIENCE).expect("the broker says nothing")
    }

    /// As `next`; `Err` if the broker sends nothing for so long.
    pub(crate) fn next_within(
        &mut self,
        time: Duration,
    ) -> Result<Option<(ToPlugin, Vec<OwnedFd>)>, ()> {
        if !self.wait(PollFlags::POLLIN, time) {
            return Err(());
        }
        let mut buffer = vec![0; MAX_RECORD];
        let received = fdpass::receive(self.socket.as_fd(), &mut buffer).unwrap();
        if received.len == 0 {
            return Ok(None);
        }
        if self.takes && !received.descriptors.is_empty() {
            self.send(SessionToBroker::Took);
        }
        let record = ToPlugin::decode(&buffer[..received.len]).unwrap();
        Ok(Some((record, received.descriptors)))
    }

    pub(crate) fn record(&mut self) -> ToPlugin {
        self.next().expect("the broker hung up").0
    }

    /// Reads until the broker ends the session. Returns the failure.
    pub(crate) fn ended(&mut self) -> Failure {
        loop {
            if let ToPlugin::Session(SessionToPlugin::Ended(failure)) = self.record() {
                assert!(self.next().is_none(), "more came after the end");
                return failure;
            }
        }
    }

    /// Asks for an extent, and takes it: a file without memory.
    pub(crate) fn new_extent(&mut self, end: LinkEnd, number: u8, len: u32) -> OwnedFd {
        self.send(want(end, number, len));
        match self.next() {
            Some((ToPlugin::Memory(MemoryToPlugin::Map { .. }), mut fds)) => fds.pop().unwrap(),
            other => panic!("no extent: {other:?}"),
        }
    }

    pub(crate) fn is_quiet(&mut self) -> bool {
        self.next_within(Duration::from_millis(50)).is_err()
    }

    pub(crate) fn hello(&mut self, name: &str) {
        self.send(SessionToBroker::Hello(identity(name)));
    }

    /// Says hello and takes the welcome, but does not acknowledge the status page.
    pub(crate) fn welcome(&mut self, name: &str) {
        self.hello(name);
        match self.next() {
            Some((ToPlugin::Session(SessionToPlugin::Welcome { plugin, .. }), pages)) => {
                self.id = plugin;
                self.pages = pages;
            }
            other => panic!("no welcome: {other:?}"),
        }
    }

    pub(crate) fn join(&mut self, name: &str) {
        self.welcome(name);
        assert_eq!(self.pages.len(), 2);
        let page = self.pages[1].try_clone().unwrap();
        self.status = Some(Mapping::writable(page, STATUS_LEN).unwrap());
        self.send(SessionToBroker::StatusMapped);
    }

    pub(crate) fn provide(&mut self, gate: &str, kind: CallKind, number: u8) -> Option<Failure> {
        self.provide_counted(gate, (kind, number), None)
    }

    /// As `provide`, with a record in the status page.
    pub(crate) fn provide_counted(
        &mut self,
        gate: &str,
        (kind, number): (CallKind, u8),
        record: Option<u16>,
    ) -> Option<Failure> {
        self.send(GateToBroker::Provide {
            request: 1,
            gate: gate.into(),
            prefix: false,
            kind,
            schema: SchemaSource::Inline(schema(number)),
            signature: shape(number).signature,
            encodings: Encodings::ARCHIVE,
            record,
            life: None,
        });
        self.answer()
    }

    pub(crate) fn withdraw(&mut self, gate: &str, kind: CallKind) -> Option<Failure> {
        self.send(GateToBroker::Withdraw {
            request: 1,
            gate: gate.into(),
            kind,
        });
        self.answer()
    }

    fn answer(&mut self) -> Option<Failure> {
        loop {
            match self.record() {
                ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => return failure,
                ToPlugin::Gate(GateToPlugin::Provided { .. }) => return None,
                _ => {}
            }
        }
    }

    pub(crate) fn open(&self, open: u32, gate: &str, number: u8) {
        self.send(GateToBroker::Open {
            open,
            gate: gate.into(),
            function: shape(number),
            action: shape(number),
        });
    }

    /// The next record, which must be a gate's state.
    pub(crate) fn state(&mut self) -> GateState {
        match self.record() {
            ToPlugin::Gate(GateToPlugin::State { state, .. }) => state,
            other => panic!("no state of a gate: {other:?}"),
        }
    }

    /// Takes an outbox and maps it, without acknowledging it.
    pub(crate) fn outbox(&mut self) -> Linked {
        let (end, len, mut fds) = match self.next() {
            Some((
                ToPlugin::Memory(MemoryToPlugin::Map {
                    memory: MemoryId::Outbox { end },
                    role: Role::Writer,
                    len,
                }),
                fds,
            )) => (end, len as usize, fds),
            other => panic!("no outbox: {other:?}"),
        };
        assert_eq!(len, Geometry::DEFAULT.total_len());
        let fd = fds.pop().unwrap();
        assert!(fds.is_empty());
        let outbox = Mapping::writable(fd.try_clone().unwrap(), len).unwrap();
        Linked {
            end,
            outbox,
            outbox_fd: fd,
            peer: None,
        }
    }

    /// Takes an outbox, maps and acknowledges it.
    pub(crate) fn mapped_outbox(&mut self) -> Linked {
        let linked = self.outbox();
        self.send(outbox_mapped(linked.end));
        linked
    }

    /// Takes the other side of a link, and acknowledges it.
    pub(crate) fn meet(&mut self, linked: &mut Linked) {
        let (end, peer, fds) = match self.next() {
            Some((
                ToPlugin::Link(LinkToPlugin::Peer {
                    end,
                    peer,
                    geometry: Geometry::DEFAULT,
                }),
                fds,
            )) => (end, peer, fds),
            other => panic!("no peer: {other:?}"),
        };
        assert_eq!((end, fds.len()), (linked.end, 4));
        linked.peer = Some((peer, fds));
        self.send(peer_mapped(end));
    }

    /// Takes a grant, without acknowledging it.
    pub(crate) fn grant(&mut self) -> (LinkEnd, u16, String) {
        match self.record() {
            ToPlugin::Link(LinkToPlugin::Grant {
                end, index, gate, ..
            }) => (end, index, gate),
            other => panic!("no grant: {other:?}"),
        }
    }

    pub(crate) fn install_grant(&mut self) -> u16 {
        let (end, index, _) = self.grant();
        self.send(LinkToBroker::GrantInstalled { end, index });
        index
    }
}

/// Links two plugins: the first one opens a gate of the second one.
pub(crate) fn link(
    caller: &mut Peer,
    provider: &mut Peer,
    gate: &str,
) -> (Linked, Linked, GateState) {
    assert_eq!(provider.provide(gate, CallKind::Function, 7), None);
    caller.open(1, gate, 7);
    let mut theirs = provider.mapped_outbox();
    let mut ours = caller.mapped_outbox();
    provider.meet(&mut theirs);
    provider.install_grant();
    caller.meet(&mut ours);
    let state = caller.state();
    (ours, theirs, state)
}
