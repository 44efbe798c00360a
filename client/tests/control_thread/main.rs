//! The control thread of a plugin whose broker is stopped still notices the deaths of its peers. The broker here is
//! the test, which sends a broker's records and reads none.

#![allow(clippy::unwrap_used)]

mod schemas;

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Plugin};
use callgate_layout::control::{
    Availability, BrokerFacts, Clock, Failure, GateState, GateToBroker, GateToPlugin, Identity,
    LinkEnd, LinkToBroker, LinkToPlugin, MAX_RECORD, MemoryId, MemoryToBroker, MemoryToPlugin,
    PeerInfo, PluginLimits, Role, Route, SessionToBroker, SessionToPlugin, ToBroker, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::process::pidfd_open;
use callgate_layout::sys::{fdpass, memfd};
use callgate_layout::{Encoding, Geometry, clock};

const PATIENCE: Duration = Duration::from_secs(20);
const END: LinkEnd = LinkEnd { link: 1, side: 0 };
/// An end of a link that the plugin does not have.
const STRANGE: LinkEnd = LinkEnd { link: 77, side: 1 };

/// The broker's end of a plugin's connection.
struct Broker(OwnedFd);

impl Broker {
    fn send(&self, record: &ToPlugin, descriptors: &[OwnedFd]) -> bool {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let bytes = record.encode().unwrap();
        fdpass::send(self.0.as_fd(), &bytes, &descriptors).is_ok()
    }

    /// Makes a plugin map memory that it writes.
    fn map(&self, memory: MemoryId, len: u32, file: OwnedFd) -> bool {
        let role = Role::Writer;
        let map = MemoryToPlugin::Map { memory, role, len };
        self.send(&map.into(), &[file])
    }

    /// The next record, if one comes.
    fn read(&self) -> Option<ToBroker> {
        let (until, mut buffer) = (Instant::now() + PATIENCE, vec![0; MAX_RECORD]);
        while Instant::now() < until {
            match fdpass::receive_plain(self.0.as_fd(), &mut buffer) {
                Ok(received) => return Some(ToBroker::decode(&buffer[..received.len]).unwrap()),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    /// Reads until a wanted record comes.
    fn await_record<T>(&self, wanted: impl Fn(ToBroker) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.read().expect("a record")) {
                return found;
            }
        }
    }
}

/// The record that a plugin sends after it has mapped memory.
fn mapped(memory: MemoryId, role: Role) -> ToBroker {
    MemoryToBroker::Mapped { memory, role }.into()
}

/// The extent that a plugin asks for, and its length.
fn wanted(record: ToBroker) -> Option<(MemoryId, u32)> {
    match record {
        ToBroker::Memory(MemoryToBroker::Want { memory, len }) => Some((memory, len)),
        _ => None,
    }
}

fn memory(len: usize) -> OwnedFd {
    memfd::create("callgate-test", len).unwrap()
}

fn welcome(broker: &Broker) {
    broker.await_record(|record| {
        matches!(record, ToBroker::Session(SessionToBroker::Hello(_))).then_some(())
    });
    let limits = PluginLimits {
        gates: 9,
        opens: 9,
        links: 9,
        extent_mib: 9,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
    };
    let record = ToPlugin::Session(SessionToPlugin::Welcome {
        bus: 1,
        plugin: 1,
        limits,
        broker: BrokerFacts {
            pid: 1,
            generation: 1,
        },
    });
    assert!(broker.send(&record, &[memory(DOORBELL_LEN), memory(STATUS_LEN)]));
    broker.await_record(|record| {
        (record == ToBroker::Session(SessionToBroker::StatusMapped)).then_some(())
    });
}

/// Sends an outbox of the default geometry, and then the peer with the given geometry.
fn introduce(broker: &Broker, peer: u32, geometry: Geometry) {
    let (end, len) = (END, Geometry::DEFAULT.total_len());
    let outbox = MemoryId::Outbox { end };
    assert!(broker.map(outbox, len as u32, memory(len)));
    broker.await_record(|record| (record == mapped(outbox, Role::Writer)).then_some(()));
    let info = PeerInfo {
        plugin: 2,
        pid: peer,
        identity: Identity {
            name: "Peer".into(),
            display_name: "Peer".into(),
            version: "1".into(),
            clock: Clock::default(),
        },
    };
    let introduction = ToPlugin::Link(LinkToPlugin::Peer {
        end,
        peer: info,
        geometry,
    });
    let pages = [len, STATUS_LEN, DOORBELL_LEN].map(memory);
    let pidfd = pidfd_open(peer).unwrap();
    let descriptors: Vec<OwnedFd> = pages.into_iter().chain([pidfd]).collect();
    assert!(broker.send(&introduction, &descriptors));
}

/// Answers the opening of a gate with a link to a process that provides it.
fn link(broker: &Broker, peer: u32) {
    let open = broker.await_record(|record| match record {
        ToBroker::Gate(GateToBroker::Open { open, .. }) => Some(open),
        _ => None,
    });
    let end = END;
    introduce(broker, peer, Geometry::DEFAULT);
    let inbox = MemoryId::Outbox { end: end.other() };
    broker.await_record(|record| (record == mapped(inbox, Role::Reader)).then_some(()));
    let state = GateState {
        owner: Some("Peer".into()),
        generation: 1,
        function: Availability::Ready {
            encoding: Encoding::Archive,
        },
        action: Availability::Absent,
        route: Some(Route { end, index: 0 }),
    };
    assert!(broker.send(&ToPlugin::Gate(GateToPlugin::State { open, state }), &[]));
}

/// Sends records each of which is answered, until the socket takes no more for a while, and reads no answer.
fn fill(broker: &Broker) -> u32 {
    let grant = ToPlugin::Link(LinkToPlugin::Grant {
        end: STRANGE,
        index: 0,
        gate: "G".into(),
        function: Some(1),
        action: None,
    });
    let (mut asked, mut last) = (0, Instant::now());
    while asked < 3_000 && last.elapsed() < Duration::from_millis(500) {
        if broker.send(&grant, &[]) {
            (asked, last) = (asked + 1, Instant::now());
        }
    }
    assert!(asked > 300, "the socket takes as many: {asked}");
    asked
}

/// The control thread does not wait for a broker that does not read: it notices the death of a plugin, and calls to
/// that plugin end at once.
#[test]
fn deaths_are_heard_of_while_the_broker_does_not_read() {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let mut peer = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let plugin = thread::spawn(|| Plugin::builder("P").descriptor(theirs).connect());
    welcome(&broker);
    let plugin = plugin.join().unwrap().unwrap();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.subscriber::<(), u64>("Peer.Gate"));
        link(&broker, peer.id());
        gate.join().unwrap().unwrap()
    });
    let gate = gate.with_timeout(PATIENCE);
    thread::scope(|scope| {
        let call = scope.spawn(|| gate.invoke(()));
        let asked = fill(&broker);
        let killed = clock::now();
        peer.kill().unwrap();
        peer.wait().unwrap();
        let error = call.join().unwrap().unwrap_err();
        let took = Duration::from_nanos(clock::now() - killed);
        assert_eq!(error.code(), Code::ProviderGone, "{error}");
        assert!(took < Duration::from_secs(3), "it took {took:?}");
        // None of the records that waited is lost.
        for answer in 0..asked {
            let is_answer = |record: &ToBroker| match record {
                ToBroker::Link(LinkToBroker::Failed { end, .. }) => *end == STRANGE,
                _ => false,
            };
            let record = loop {
                match broker.read() {
                    // This belongs to the descriptors that came with the link: the plugin acknowledges them when it
                    // has handled them.
                    Some(ToBroker::Session(SessionToBroker::Took)) => {}
                    record => break record,
                }
            };
            assert!(
                record.as_ref().is_some_and(is_answer),
                "{answer}: {record:?}"
            );
        }
    });
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}

/// A writer that was stopped finds both its extent and the refusal of it. It still reports that it has mapped the
/// extent: otherwise the broker would refuse this number as long as the link lives.
#[test]
fn the_broker_hears_also_of_an_extent_that_it_has_refused_meanwhile() {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let mut peer = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let plugin = thread::spawn(|| Plugin::builder("P").descriptor(theirs).connect());
    welcome(&broker);
    let plugin = plugin.join().unwrap().unwrap();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.raw_subscriber::<u64>("Peer.Gate"));
        link(&broker, peer.id());
        gate.join().unwrap().unwrap()
    });
    let gate = gate.with_timeout(PATIENCE);
    thread::scope(|scope| {
        let call = scope.spawn(|| gate.loan(60 << 20).map(drop));
        let (extent, len) = broker.await_record(wanted);
        assert!(broker.map(extent, len, memory(len as usize)));
        let failure = Failure::new(Code::Timeout, "it was late");
        let refused = MemoryToPlugin::Refused {
            memory: extent,
            failure,
        };
        assert!(broker.send(&refused.into(), &[]));
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
        broker.await_record(|record| match record {
            ToBroker::Memory(
                MemoryToBroker::Mapped { memory, role }
                | MemoryToBroker::Failed { memory, role, .. },
            ) => ((memory, role) == (extent, Role::Writer)).then_some(()),
            _ => None,
        });
    });
    peer.kill().unwrap();
    peer.wait().unwrap();
}

/// An extent that becomes idle while the broker does not read is returned when the broker reads again. Otherwise it
/// would stay charged, and its number unused, as long as the link lives.
#[test]
fn an_idle_extent_is_returned_when_the_broker_reads_again() {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let mut peer = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let plugin = thread::spawn(|| {
        let plugin = Plugin::builder("P").descriptor(theirs);
        plugin.keep_idle(Duration::from_millis(50)).connect()
    });
    welcome(&broker);
    let plugin = plugin.join().unwrap().unwrap();
    let gate = thread::scope(|scope| {
        let gate = scope.spawn(|| plugin.raw_subscriber::<u64>("Peer.Gate"));
        link(&broker, peer.id());
        gate.join().unwrap().unwrap()
    });
    let gate = gate.with_timeout(PATIENCE);
    let extent = thread::scope(|scope| {
        let call = scope.spawn(|| gate.loan(100_000).unwrap());
        let (extent, len) = broker.await_record(wanted);
        assert!(broker.map(extent, len, memory(len as usize)));
        let mapped = mapped(extent, Role::Writer);
        broker.await_record(|record| (record == mapped).then_some(()));
        let ready = MemoryToPlugin::Ready { memory: extent };
        assert!(broker.send(&ready.into(), &[]));
        let loan = call.join().unwrap();
        fill(&broker);
        drop(loan);
        extent
    });
    // Several times as long as an idle extent is kept.
    thread::sleep(Duration::from_millis(400));
    let returned = ToBroker::from(MemoryToBroker::Return { memory: extent });
    broker.await_record(|record| (record == returned).then_some(()));
    peer.kill().unwrap();
    peer.wait().unwrap();
}

/// A geometry that does not fit the outbox fails the link: the plugin would write beyond the end of its outbox.
#[test]
fn a_geometry_that_does_not_fit_the_outbox_fails_the_link() {
    let (ours, theirs) = fdpass::pair().unwrap();
    let broker = Broker(ours);
    let plugin = thread::spawn(|| Plugin::builder("P").descriptor(theirs).connect());
    welcome(&broker);
    let plugin = plugin.join().unwrap().unwrap();
    let inbox = MemoryId::Outbox { end: END.other() };
    let failed = |record| match record {
        ToBroker::Memory(MemoryToBroker::Failed {
            memory,
            role: Role::Reader,
            failure,
        }) => (memory == inbox).then_some(failure.code),
        _ => None,
    };
    for geometry in [
        Geometry::new(32, 64 << 10).unwrap(),
        Geometry::new(64, 128 << 10).unwrap(),
    ] {
        introduce(&broker, std::process::id(), geometry);
        assert_eq!(broker.await_record(failed), Code::Protocol as u16);
    }
    // The peer's outbox alone makes no link.
    let role = Role::Reader;
    let len = Geometry::DEFAULT.total_len();
    let map = MemoryToPlugin::Map {
        memory: inbox,
        role,
        len: len as u32,
    };
    assert!(broker.send(&map.into(), &[memory(len)]));
    assert_eq!(broker.await_record(failed), Code::Protocol as u16);
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}
