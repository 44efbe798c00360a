//! The control thread of a plugin whose broker is stopped: it hears of its peers' deaths all the same.
//! The broker here is the test, which sends the records of a broker and reads none.

#![allow(clippy::unwrap_used)]

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Plugin};
use callgate_layout::control::{
    Availability, Clock, Failure, GateState, Identity, LinkEnd, MAX_RECORD, PeerInfo, PluginLimits,
    Route, ToBroker, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::process::pidfd_open;
use callgate_layout::sys::{fdpass, memfd};
use callgate_layout::{Geometry, clock};

const PATIENCE: Duration = Duration::from_secs(20);
const END: LinkEnd = LinkEnd { link: 1, side: 0 };
/// Of a link that the plugin has not got.
const STRANGE: LinkEnd = LinkEnd { link: 77, side: 1 };

/// The broker's end of a plugin's connection.
struct Broker(OwnedFd);

impl Broker {
    fn send(&self, record: &ToPlugin, descriptors: &[OwnedFd]) -> bool {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let bytes = record.encode().unwrap();
        fdpass::send(self.0.as_fd(), &bytes, &descriptors).is_ok()
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

    /// Reads until a record comes that is wanted.
    fn await_record<T>(&self, wanted: impl Fn(ToBroker) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.read().expect("a record")) {
                return found;
            }
        }
    }
}

fn memory(len: usize) -> OwnedFd {
    memfd::create("callgate-test", len).unwrap()
}

fn welcome(broker: &Broker) {
    broker.await_record(|record| matches!(record, ToBroker::Hello(_)).then_some(()));
    let limits = PluginLimits {
        gates: 9,
        opens: 9,
        links: 9,
        extent_mib: 9,
    };
    let record = ToPlugin::Welcome {
        bus: 1,
        plugin: 1,
        limits,
    };
    assert!(broker.send(&record, &[memory(DOORBELL_LEN), memory(STATUS_LEN)]));
    broker.await_record(|record| (record == ToBroker::StatusMapped).then_some(()));
}

/// Answers the opening of a gate with a link to a process that provides it.
fn link(broker: &Broker, peer: u32) {
    let open = broker.await_record(|record| match record {
        ToBroker::Open { open, .. } => Some(open),
        _ => None,
    });
    let geometry = Geometry::DEFAULT;
    let (end, len) = (END, geometry.total_len());
    assert!(broker.send(&ToPlugin::NewOutbox { end, geometry }, &[memory(len)]));
    broker.await_record(|record| (record == ToBroker::OutboxMapped { end }).then_some(()));
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
    let pages = [len, STATUS_LEN, DOORBELL_LEN].map(memory);
    let pidfd = pidfd_open(peer).unwrap();
    let descriptors: Vec<OwnedFd> = pages.into_iter().chain([pidfd]).collect();
    assert!(broker.send(&ToPlugin::LinkPeer { end, peer: info }, &descriptors));
    broker.await_record(|record| (record == ToBroker::PeerMapped { end }).then_some(()));
    let state = GateState {
        owner: Some("Peer".into()),
        generation: 1,
        function: Availability::Ready,
        action: Availability::Absent,
        route: Some(Route { end, index: 0 }),
    };
    assert!(broker.send(&ToPlugin::GateState { open, state }, &[]));
}

/// Sends records each of which is answered, more than the socket takes, and reads no answer.
fn fill(broker: &Broker) -> u32 {
    let grant = ToPlugin::Grant {
        end: STRANGE,
        index: 0,
        gate: "G".into(),
        function: None,
        action: None,
    };
    let (mut asked, until) = (0, Instant::now() + Duration::from_millis(500));
    while asked < 3_000 && Instant::now() < until {
        asked += u32::from(broker.send(&grant, &[]));
    }
    assert!(asked > 300, "the socket takes as many: {asked}");
    asked
}

/// While the broker did not read, the control thread waited up to five seconds for it with each record
/// that it had to send, and calls to a killed plugin hung as long.
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
        // Nothing of what waited is lost.
        for answer in 0..asked {
            let is_answer = |record: &ToBroker| match record {
                ToBroker::LinkFailed { end, .. } => *end == STRANGE,
                _ => false,
            };
            let record = broker.read();
            assert!(
                record.as_ref().is_some_and(is_answer),
                "{answer}: {record:?}"
            );
        }
    });
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
}

/// A writer that was stopped for ten seconds found the refusal of its extent beside the extent: it said
/// nothing of it any more, and the broker refused this number for as long as the link lived.
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
        let (end, number, len) = broker.await_record(|record| match record {
            ToBroker::WantExtent { end, number, len } => Some((end, number, len)),
            _ => None,
        });
        let file = memory(len as usize);
        assert!(broker.send(&ToPlugin::NewExtent { end, number, len }, &[file]));
        let failure = Failure::new(Code::Timeout, "it was late");
        let refused = ToPlugin::ExtentRefused {
            end,
            number,
            failure,
        };
        assert!(broker.send(&refused, &[]));
        let error = call.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
        broker.await_record(|record| match record {
            ToBroker::ExtentMapped { end: of, number: n } => {
                ((of, n) == (end, number)).then_some(())
            }
            ToBroker::ExtentFailed {
                end: of, number: n, ..
            } => ((of, n) == (end, number)).then_some(()),
            _ => None,
        });
    });
    peer.kill().unwrap();
    peer.wait().unwrap();
}

/// An extent that was idle while the broker did not read was let go without the broker being told: it
/// stayed charged, and its number was not used again, for as long as the link lived.
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
    let (end, number) = thread::scope(|scope| {
        let call = scope.spawn(|| gate.loan(100_000).unwrap());
        let (end, number, len) = broker.await_record(|record| match record {
            ToBroker::WantExtent { end, number, len } => Some((end, number, len)),
            _ => None,
        });
        let file = memory(len as usize);
        assert!(broker.send(&ToPlugin::NewExtent { end, number, len }, &[file]));
        let mapped = ToBroker::ExtentMapped { end, number };
        broker.await_record(|record| (record == mapped).then_some(()));
        assert!(broker.send(&ToPlugin::ExtentReady { end, number }, &[]));
        let loan = call.join().unwrap();
        fill(&broker);
        drop(loan);
        (end, number)
    });
    // It is idle for several times as long as it is kept.
    thread::sleep(Duration::from_millis(400));
    let returned = ToBroker::ReturnExtent { end, number };
    broker.await_record(|record| (record == returned).then_some(()));
    peer.kill().unwrap();
    peer.wait().unwrap();
}
