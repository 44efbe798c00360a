//! Plugins that break the protocol: each is told why, and no other plugin notices.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use callgate::BusLimits;
use callgate_layout::Code;
use callgate_layout::control::{
    GateToBroker, LinkEnd, MAX_RECORD, MemoryId, MemoryToBroker, MemoryToPlugin, Role,
    SessionToBroker, SessionToPlugin, ToBroker, ToPlugin, VERSION, header,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::MIN_EXTENT_LEN;
use callgate_layout::sys::{fdpass, memfd};

use crate::support::records::{outbox_mapped, want, written};
use crate::support::{Bus, Peer, bus, bus_with, code_of, eventually, identity, link};

/// Each test here ends with this: other plugins go on as if nothing had happened.
pub(crate) fn is_well(bus: &Bus) {
    let mut caller = bus.plugin("well.caller");
    let mut provider = bus.plugin("well.provider");
    let (_, _, state) = link(&mut caller, &mut provider, "well.gate");
    assert!(state.route.is_some());
}

fn refused(bus: &Bus, name: &str, send: impl FnOnce(&mut Peer)) -> String {
    let mut peer = bus.connect();
    if !name.is_empty() {
        peer.join(name);
    }
    send(&mut peer);
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Protocol, "{failure:?}");
    failure.message
}

/// A decoder that trusted its input would crash the bus for all plugins.
#[test]
fn garbage_and_half_records_end_their_session() {
    let bus = bus();
    for name in ["", "a"] {
        refused(&bus, name, |peer| peer.send_bytes(&[0xff; 400]));
        refused(&bus, name, |peer| peer.send_bytes(b"CALL"));
        refused(&bus, name, |peer| peer.send_bytes(&header(VERSION)));
        let whole = ToBroker::from(SessionToBroker::Hello(identity("half")))
            .encode()
            .unwrap();
        refused(&bus, name, |peer| {
            peer.send_bytes(&whole[..whole.len() - 7]);
        });
        let message = refused(&bus, name, |peer| {
            peer.send_bytes(&vec![1; MAX_RECORD + 1]);
        });
        assert!(message.contains("too long"), "{message}");
    }
    is_well(&bus);
}

/// A plugin that skips a step must not be served as if it had done it.
#[test]
fn records_out_of_order_end_their_session() {
    let bus = bus();
    let list = || SessionToBroker::List { request: 1 };
    refused(&bus, "", |peer| peer.send(list()));
    refused(&bus, "", |peer| peer.send(SessionToBroker::StatusMapped));
    refused(&bus, "", |peer| peer.send(SessionToBroker::Took));
    refused(&bus, "", |peer| {
        peer.welcome("a");
        peer.send(list());
    });
    refused(&bus, "a", |peer| peer.send(SessionToBroker::Took));
    refused(&bus, "a", |peer| peer.send(SessionToBroker::StatusMapped));
    refused(&bus, "a", |peer| peer.hello("a"));
    let end = LinkEnd { link: 9, side: 0 };
    refused(&bus, "a", |peer| peer.send(outbox_mapped(end)));
    refused(&bus, "a", |peer| {
        peer.open(1, "g", 1);
        peer.open(1, "h", 1);
    });
    is_well(&bus);
}

/// A plugin that sends descriptors could fill the broker's table, and keep things open in it.
#[test]
fn descriptors_are_not_taken() {
    let bus = bus();
    let message = refused(&bus, "a", |peer| {
        let file = File::open("/dev/null").unwrap();
        let fds = [file.as_fd(); 5];
        let bytes = ToBroker::from(GateToBroker::Close { open: 1 })
            .encode()
            .unwrap();
        fdpass::send(peer.socket.as_fd(), &bytes, &fds).unwrap();
    });
    assert!(message.contains("descriptors"), "{message}");
    is_well(&bus);
}

/// A plugin in a loop would keep the broker from serving others.
#[test]
fn a_flood_is_ended() {
    let limits = BusLimits {
        requests_per_second: 10,
        request_burst: 500,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    let mut peer = bus.plugin("a");
    for _ in 0..600 {
        peer.send(GateToBroker::Close { open: 1 });
    }
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Overloaded);
    assert!(
        failure.message.contains("10 control requests"),
        "{failure:?}"
    );
    is_well(&bus);
}

/// Answers to a plugin that does not read them would fill the broker's memory; descriptors would be in flight until the kernel refused any
/// to this user.
#[test]
fn a_plugin_that_does_not_read_is_ended() {
    let limits = BusLimits {
        queued_records: 500,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    for descriptors in [false, true] {
        let peer = bus.plugin("a");
        let before = Instant::now();
        for request in 0..2000 {
            let record: ToBroker = match descriptors {
                true => SessionToBroker::List { request }.into(),
                false => GateToBroker::Withdraw {
                    request,
                    gate: "none".into(),
                    kind: CallKind::Action,
                }
                .into(),
            };
            peer.send(record);
        }
        eventually("the session is over", || {
            let listing = bus.broker.snapshot().unwrap();
            listing.plugins.is_empty()
        });
        assert!(before.elapsed() < crate::support::PATIENCE);
    }
    is_well(&bus);
}

/// Memory that waits to be sent must be charged as long as it waits. A plugin that could acknowledge and return it before that could have
/// any amount of it.
#[test]
fn an_extent_is_not_acknowledged_before_it_is_sent() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (ours, _theirs, _) = link(&mut caller, &mut provider, "g");
    caller.takes = false;
    let (end, len) = (ours.end, MIN_EXTENT_LEN);
    for number in 0..9 {
        caller.send(want(end, number, len));
    }
    // Each waits for its turn to allocate; the ninth begins when the eighth has ended.
    for number in 0..8 {
        let Some((ToPlugin::Memory(MemoryToPlugin::Map { .. }), files)) = caller.next() else {
            panic!("no extent");
        };
        memfd::allocate(files[0].as_fd(), len as usize).unwrap();
        caller.send(written(end, number));
    }
    // Eight are on their way, and no other is sent before they are acknowledged.
    caller.send(written(end, 8));
    let failure = caller.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("not sent yet"), "{failure:?}");
    is_well(&bus);
}

/// The same for an outbox, whose link would be in use while its memory waits in a queue.
#[test]
fn an_outbox_is_not_acknowledged_before_it_is_sent() {
    let bus = bus();
    let mut provider = bus.plugin("provider");
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    provider.takes = false;
    let mut callers: Vec<Peer> = (0..9)
        .map(|number| bus.plugin(&format!("caller {number}")))
        .collect();
    for caller in &callers {
        caller.open(1, "g", 7);
    }
    let own: Vec<LinkEnd> = callers
        .iter_mut()
        .map(|caller| caller.mapped_outbox().end.other())
        .collect();
    let sent: Vec<LinkEnd> = (0..8).map(|_| provider.outbox().end).collect();
    assert!(provider.is_quiet(), "the ninth waits");
    let waits = own.into_iter().find(|end| !sent.contains(end));
    provider.send(outbox_mapped(waits.unwrap()));
    let failure = provider.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("not sent yet"), "{failure:?}");
    is_well(&bus);
}

/// The reader of an extent must not acknowledge it either, while it waits in the reader's queue.
#[test]
fn an_extent_is_not_read_before_it_is_sent() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (ours, theirs, _) = link(&mut caller, &mut provider, "g");
    provider.takes = false;
    let end = ours.end;
    for number in 0..9 {
        let len = MIN_EXTENT_LEN;
        let file = caller.new_extent(end, number, len);
        memfd::allocate(file.as_fd(), len as usize).unwrap();
        caller.send(written(end, number));
    }
    // Sealing takes longer for some than for others.
    let mut unseen: Vec<MemoryId> = (0..9)
        .map(|number| MemoryId::Extent { end, number })
        .collect();
    while unseen.len() > 1 {
        match provider.record() {
            ToPlugin::Memory(MemoryToPlugin::Map {
                memory,
                role: Role::Reader,
                ..
            }) => {
                assert!(unseen.contains(&memory), "{memory:?}");
                unseen.retain(|other| *other != memory);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(provider.is_quiet(), "the ninth waits");
    assert_eq!(theirs.end, end.other());
    let (memory, role) = (unseen[0], Role::Reader);
    provider.send(MemoryToBroker::Mapped { memory, role });
    let failure = provider.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("not sent yet"), "{failure:?}");
    is_well(&bus);
}

/// Listings are large: a plugin that asks for many and takes none would fill the broker's memory.
#[test]
fn a_listing_must_be_taken_before_the_next() {
    let bus = bus();
    let mut peer = bus.plugin("a");
    peer.takes = false;
    peer.send(SessionToBroker::List { request: 1 });
    peer.send(SessionToBroker::List { request: 2 });
    // Making a listing takes longer than refusing one.
    let mut records = [peer.record(), peer.record()];
    records
        .sort_by_key(|record| matches!(record, ToPlugin::Session(SessionToPlugin::Answer { .. })));
    assert_eq!(
        records[0],
        ToPlugin::Session(SessionToPlugin::Listing { request: 1 })
    );
    match &records[1] {
        ToPlugin::Session(SessionToPlugin::Answer {
            request: 2,
            failure: Some(failure),
        }) => assert_eq!(code_of(failure), Code::Overloaded),
        other => panic!("{other:?}"),
    }
    peer.send(SessionToBroker::Took);
    peer.send(SessionToBroker::List { request: 3 });
    assert_eq!(
        peer.record(),
        ToPlugin::Session(SessionToPlugin::Listing { request: 3 })
    );
}

/// A plugin that is busy for a moment must get everything that it has missed, in order.
#[test]
fn a_slow_reader_gets_everything_in_order() {
    let bus = bus();
    let mut peer = bus.plugin("slow");
    for request in 0..3000 {
        let gate = "none".into();
        let kind = CallKind::Action;
        peer.send(GateToBroker::Withdraw {
            request,
            gate,
            kind,
        });
    }
    // The answer to a later question: by now all records are queued.
    eventually("all is answered", || bus.broker.snapshot().is_ok());
    for expected in 0..3000 {
        match peer.record() {
            ToPlugin::Session(SessionToPlugin::Answer { request, .. }) => {
                assert_eq!(request, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(peer.is_quiet());
}

/// A plugin that seals its outbox first could keep a second writer in it.
#[test]
fn sealing_the_outbox_first_is_noticed() {
    let bus = bus();
    let caller = bus.plugin("caller");
    let mut provider = bus.plugin("provider");
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    caller.open(1, "g", 7);
    let theirs = provider.outbox();
    memfd::seal_seals(theirs.outbox_fd.as_fd()).unwrap();
    provider.send(outbox_mapped(theirs.end));
    let failure = provider.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("sealed its outbox"), "{failure:?}");
    is_well(&bus);
}

/// A plugin that could acknowledge for another one could put a half set-up link into use.
#[test]
fn nobody_speaks_for_another() {
    let bus = bus();
    let caller = bus.plugin("caller");
    let mut provider = bus.plugin("provider");
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    caller.open(1, "g", 7);
    let theirs = provider.outbox();
    let end = theirs.end.other();
    provider.send(outbox_mapped(end));
    assert_eq!(code_of(&provider.ended()), Code::Protocol);
    refused(&bus, "outsider", |peer| {
        let link = end.link + 1;
        peer.send(outbox_mapped(LinkEnd { link, side: 0 }));
    });
    // That link has ended, and never was this plugin's.
    refused(&bus, "late", |peer| {
        peer.send(outbox_mapped(theirs.end));
    });
    // The number of a link of the broker before would be below this broker's first one.
    refused(&bus, "old", |peer| {
        let link = end.link - 1;
        peer.send(outbox_mapped(LinkEnd { link, side: 0 }));
    });
    is_well(&bus);
}
