//! A broker played by the test, which can send wrong records and leave out others.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Plugin;
use callgate_layout::control::{
    Availability, BrokerFacts, GateState, GateToBroker, GateToPlugin, LinkEnd, LinkToBroker,
    LinkToPlugin, MAX_RECORD, PluginLimits, SessionToBroker, SessionToPlugin, ToBroker, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::{fdpass, memfd};
use nix::sys::socket::{
    self as sys, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long tests wait to see that nothing arrives.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

/// The broker's end of a plugin's connection.
pub(crate) struct Broker(pub(crate) OwnedFd);

/// What arrives at the broker's end.
#[derive(Debug, PartialEq)]
pub(crate) enum Came {
    Record(ToBroker),
    /// The plugin has closed its connection.
    End,
    Nothing,
}

impl Broker {
    pub(crate) fn send(&self, record: impl Into<ToPlugin>, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let bytes = record.into().encode().unwrap();
        fdpass::send(self.0.as_fd(), &bytes, &descriptors).unwrap();
    }

    pub(crate) fn read(&self, patience: Duration) -> Came {
        let (until, mut buffer) = (Instant::now() + patience, vec![0; MAX_RECORD]);
        loop {
            match fdpass::receive_plain(self.0.as_fd(), &mut buffer) {
                Ok(received) if received.len == 0 => return Came::End,
                Ok(received) => match ToBroker::decode(&buffer[..received.len]).unwrap() {
                    // The dispatcher sends this whenever it has finished earlier work.
                    ToBroker::Session(SessionToBroker::Drained) => {}
                    // This broker knows no reason why a gate is absent.
                    ToBroker::Gate(GateToBroker::WhyAbsent { request, .. }) => {
                        let failure = None;
                        self.send(SessionToPlugin::Answer { request, failure }, &[]);
                    }
                    record => return Came::Record(record),
                },
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Came::End,
                Err(_) if Instant::now() >= until => return Came::Nothing,
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// The next record.
    pub(crate) fn record(&self) -> ToBroker {
        match self.read(PATIENCE) {
            Came::Record(record) => record,
            other => panic!("no record: {other:?}"),
        }
    }

    /// Waits until the plugin has closed its connection; skips all records before.
    pub(crate) fn await_end(&self) {
        let until = Instant::now() + PATIENCE;
        while self.read(PATIENCE) != Came::End {
            assert!(Instant::now() < until, "it does not hang up");
        }
    }

    /// Admits a plugin.
    pub(crate) fn welcome(&self, bus: u64, plugin: u64) {
        let hello = self.record();
        assert!(matches!(
            hello,
            ToBroker::Session(SessionToBroker::Hello(_))
        ));
        let limits = PluginLimits {
            gates: 9,
            opens: 9,
            links: 9,
            extent_mib: 9,
            schema_mib: 1,
            share_mib: 8,
            shares: 8,
        };
        let (pid, generation) = (1, 1);
        let welcome = SessionToPlugin::Welcome {
            bus,
            plugin,
            limits,
            broker: BrokerFacts { pid, generation },
        };
        let memory = |len| memfd::create("callgate-test", len).unwrap();
        self.send(welcome, &[memory(DOORBELL_LEN), memory(STATUS_LEN)]);
        for expected in [SessionToBroker::Took, SessionToBroker::StatusMapped] {
            assert_eq!(self.record(), expected.into());
        }
    }

    /// Reads that a gate is provided; returns the number of the request, and the life that it names.
    pub(crate) fn provides(&self) -> (u32, Option<u64>) {
        match self.record() {
            ToBroker::Gate(GateToBroker::Provide { request, life, .. }) => (request, life),
            other => panic!("it does not provide a gate: {other:?}"),
        }
    }

    pub(crate) fn provided(&self, request: u32, life: u64) {
        self.send(GateToPlugin::Provided { request, life }, &[]);
    }

    /// Reads that a gate is opened, and reports that nobody provides it; returns its number.
    pub(crate) fn opens(&self) -> u32 {
        let ToBroker::Gate(GateToBroker::Open { open, .. }) = self.record() else {
            panic!("it opens nothing");
        };
        self.absent(open);
        open
    }

    pub(crate) fn absent(&self, open: u32) {
        let state = GateState {
            owner: None,
            generation: 0,
            function: Availability::Absent,
            action: Availability::Absent,
            route: None,
        };
        self.send(GateToPlugin::State { open, state }, &[]);
    }

    /// Waits until the plugin has processed everything that was sent before, by making it acknowledge something.
    pub(crate) fn await_reader(&self) {
        let end = LinkEnd { link: 77, side: 1 };
        let (number, indexes) = (7, vec![0]);
        let revoke = LinkToPlugin::Revoke {
            end,
            number,
            indexes,
        };
        self.send(revoke, &[]);
        let revoked = LinkToBroker::Revoked { end, number };
        assert_eq!(self.record(), revoked.into());
    }
}

/// A plugin, and the broker of its first bus, which has the number 1.
pub(crate) fn connect() -> (Plugin, Broker) {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let plugin = thread::spawn(|| Plugin::builder("P").descriptor(theirs).connect());
    broker.welcome(1, 1);
    (plugin.join().unwrap().unwrap(), broker)
}

/// Moves a plugin to another broker.
pub(crate) fn rejoin(plugin: &Plugin, bus: u64, number: u64) -> Broker {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    thread::scope(|scope| {
        let rejoined = scope.spawn(|| plugin.rejoin(theirs));
        broker.welcome(bus, number);
        rejoined.join().unwrap().unwrap();
    });
    broker
}

/// A path at which a plugin finds its broker.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

fn seqpacket(flags: SockFlag) -> OwnedFd {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap()
}

impl Listener {
    pub(crate) fn new(name: &str, backlog: i32) -> Listener {
        let directory = format!("callgate-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let path = directory.join("socket");
        let socket = seqpacket(SockFlag::empty());
        bind(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&socket, Backlog::new(backlog).unwrap()).unwrap();
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true).unwrap();
        Listener { listener, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection, on which nothing was sent yet.
    pub(crate) fn accept(&self) -> Broker {
        let until = Instant::now() + PATIENCE;
        let connection = loop {
            match self.listener.accept() {
                Ok((connection, _)) => break connection,
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("nobody connects: {error}"),
            }
        };
        connection.set_nonblocking(true).unwrap();
        Broker(connection.into())
    }

    /// Connects until the queue has no more room.
    pub(crate) fn fill(&self) -> Vec<OwnedFd> {
        let address = UnixAddr::new(&self.path).unwrap();
        let mut all = Vec::new();
        loop {
            let socket = seqpacket(SockFlag::SOCK_NONBLOCK);
            if sys::connect(socket.as_raw_fd(), &address).is_err() {
                return all;
            }
            all.push(socket);
        }
    }

    /// Connects a plugin, together with the broker that admits it.
    pub(crate) fn connect(&self) -> (Plugin, Broker) {
        let builder = Plugin::builder("P").socket(self.path());
        let plugin = thread::spawn(|| builder.connect());
        let broker = self.accept();
        broker.welcome(1, 1);
        (plugin.join().unwrap().unwrap(), broker)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(directory) = self.path.parent() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}
