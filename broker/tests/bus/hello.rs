//! Hello and welcome.

use callgate::BusLimits;
use callgate_layout::Code;
use callgate_layout::control::{
    DoorbellName, GateToBroker, MAX_TEXT, SessionToBroker, SessionToPlugin, ToBroker, ToPlugin,
    VERSION, header,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use std::os::fd::AsFd;

use crate::support::{SHORT, bus, bus_with, code_of, eventually, identity};

/// If another process could map a status page for writing, the page would have two writers; a doorbell that no other process could map
/// could not be rung.
#[test]
fn a_plugin_gets_its_pages_sealed_as_they_should_be() {
    let bus = bus();
    let mut plugin = bus.plugin("a");
    assert_eq!(
        plugin.provide("g", callgate_layout::envelope::CallKind::Action, 1),
        None
    );
    let page = |index: usize| plugin.pages[index].try_clone().unwrap();
    assert!(Mapping::writable(page(0), DOORBELL_LEN).is_ok());
    assert!(Mapping::writable(page(1), STATUS_LEN).is_err());
    assert!(Mapping::read_only(page(1), STATUS_LEN).is_ok());
    for page in &plugin.pages {
        assert!(memfd::seal_seals(page.as_fd()).is_err(), "seals are final");
    }
}

/// Two versions that misread each other's records would fail in ways that are hard to understand.
#[test]
fn another_version_is_refused_with_both_numbers() {
    let bus = bus();
    let mut peer = bus.connect();
    let mut bytes = ToBroker::from(SessionToBroker::Hello(identity("a")))
        .encode()
        .unwrap()
        .to_vec();
    bytes[..16].copy_from_slice(&header(77));
    peer.send_bytes(&bytes);
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::VersionMismatch);
    assert!(failure.message.contains("77"), "{}", failure.message);
    assert!(failure.message.contains(&format!("version {VERSION}")));
}

/// Callers could not tell two plugins of one name apart.
#[test]
fn a_name_is_taken_while_its_plugin_lives() {
    let bus = bus();
    let first = bus.plugin("a");
    let mut second = bus.connect();
    second.hello("a");
    let failure = second.ended();
    assert_eq!(code_of(&failure), Code::NameTaken);
    let pid = format!("pid {}", std::process::id());
    assert!(failure.message.contains(&pid), "{}", failure.message);
    drop(first);
    eventually("the name is free", || {
        let mut third = bus.connect();
        third.hello("a");
        matches!(
            third.next(),
            Some((ToPlugin::Session(SessionToPlugin::Welcome { .. }), _))
        )
    });
}

/// A plugin must not change its name or its doorbell while others are linked with it.
#[test]
fn nobody_says_hello_twice() {
    let doorbell = DoorbellName { bus: 0, plugin: 1 };
    for again in [
        SessionToBroker::Hello(identity("b")),
        SessionToBroker::Inspect(identity("b")),
        SessionToBroker::HelloInGroup {
            identity: identity("b"),
            doorbells: vec![doorbell],
        },
    ] {
        let bus = bus();
        let mut peer = bus.plugin("a");
        peer.send(again);
        assert_eq!(code_of(&peer.ended()), Code::Protocol);
    }
}

/// A name with a line break would forge log lines; one of a megabyte would fill memory.
#[test]
fn names_and_texts_are_checked() {
    let bus = bus();
    let mut odd = [
        identity("a\nb"),
        identity(""),
        identity(&"x".repeat(129)),
        identity("a"),
    ];
    odd[3].version = "9".repeat(MAX_TEXT + 1);
    for identity in odd {
        let mut peer = bus.connect();
        peer.send(SessionToBroker::Hello(identity));
        assert_eq!(code_of(&peer.ended()), Code::InvalidArgument);
    }
}

/// A connection that sends nothing would be kept for ever.
#[test]
fn silence_is_ended() {
    let bus = bus_with(|builder| builder.step_deadline(SHORT));
    let failure = bus.connect().ended();
    assert_eq!(code_of(&failure), Code::Timeout);
    assert!(failure.message.contains("hello"), "{}", failure.message);
    let mut peer = bus.connect();
    peer.welcome("a");
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Timeout);
    assert!(
        failure.message.contains("status page"),
        "{}",
        failure.message
    );
}

/// A plugin that seals its page first could keep the broker from sealing it against others.
#[test]
fn sealing_the_status_page_first_is_noticed() {
    let bus = bus();
    let mut peer = bus.connect();
    peer.welcome("a");
    memfd::seal_seals(peer.pages[1].as_fd()).unwrap();
    peer.send(SessionToBroker::StatusMapped);
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(
        failure.message.contains("sealed its status page"),
        "{}",
        failure.message
    );
}

/// A broker that stops must say so, or plugins cannot tell why their connection ended.
#[test]
fn a_stopping_broker_says_so() {
    let bus = bus();
    let mut peer = bus.plugin("a");
    assert_eq!(
        peer.provide("g", callgate_layout::envelope::CallKind::Action, 1),
        None
    );
    bus.broker.stop();
    assert_eq!(code_of(&peer.ended()), Code::BrokerGone);
}

/// A plugin that is refused must be able to read the reason, although the broker never read its hello.
#[test]
fn who_is_one_too_many_is_told() {
    let few = BusLimits {
        connections: 2,
        ..BusLimits::default()
    };
    let own = BusLimits {
        connections_per_process: 2,
        ..BusLimits::default()
    };
    for (limits, why) in [(few, "the broker has 2"), (own, "the process")] {
        let bus = bus_with(|builder| builder.limits(limits));
        let _others = (bus.plugin("a"), bus.plugin("b"));
        for _ in 0..50 {
            let mut peer = bus.connect();
            peer.hello("c");
            let failure = peer.ended();
            assert_eq!(code_of(&failure), Code::System, "it may come again");
            assert!(failure.message.contains(why), "{failure:?}");
        }
    }
}

/// A plugin that ends with much unread data on its connection, and comes back at once, must find its name free.
#[test]
fn a_name_is_free_once_its_plugin_has_hung_up() {
    let bus = bus();
    for _ in 0..20 {
        let first = bus.plugin("a");
        for _ in 0..200 {
            first.send(GateToBroker::Close { open: 1 });
        }
        drop(first);
        bus.plugin("a");
    }
}
