//! Questions of plugins about a gate's state, and providers that must refuse a grant: in the right order and in wrong
//! ones.

use std::thread;
use std::time::{Duration, Instant};

use callgate::{BusLimits, Policy};
use callgate_layout::Code;
use callgate_layout::control::{
    GateToBroker, GateToPlugin, LinkEnd, LinkToBroker, LinkToPlugin, ToPlugin,
};
use callgate_layout::envelope::CallKind;

use crate::hostile::is_well;
use crate::support::{Bus, PATIENCE, Peer, SHORT, bus, bus_with, code_of, link};

/// Whether the next record answers the question about this gate.
fn is_synced(peer: &mut Peer, open: u32) -> bool {
    peer.record() == ToPlugin::from(GateToPlugin::Synced { open })
}

/// The answer to a question comes after the records that set the link up: it means that the plugin has everything.
#[test]
fn the_answer_comes_behind_the_link() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    caller.open(1, "gate", 7);
    assert_eq!(caller.state().route, None);
    caller.send(GateToBroker::Sync { open: 1 });
    assert!(is_synced(&mut caller, 1), "nothing is under way");
    assert_eq!(provider.provide("gate", CallKind::Function, 7), None);
    caller.send(GateToBroker::Sync { open: 1 });
    let mut theirs = provider.mapped_outbox();
    let mut ours = caller.mapped_outbox();
    provider.meet(&mut theirs);
    assert!(
        caller.is_quiet(),
        "the provider has not installed its grant"
    );
    provider.install_grant();
    caller.meet(&mut ours);
    assert!(caller.state().route.is_some());
    assert!(is_synced(&mut caller, 1));
    // And when the gate is gone.
    assert_eq!(provider.withdraw("gate", CallKind::Function), None);
    caller.send(GateToBroker::Sync { open: 1 });
    assert_eq!(caller.state().route, None);
    assert!(is_synced(&mut caller, 1));
}

/// Questions about gates that are not open, before the hello is complete, or again before the answer.
#[test]
fn questions_out_of_order_end_their_session() {
    let limits = BusLimits {
        requests_per_second: 10,
        request_burst: 100,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    let sync = |open| GateToBroker::Sync { open };
    let mut early = bus.connect();
    early.welcome("early");
    early.send(sync(1));
    assert_eq!(code_of(&early.ended()), Code::Protocol);
    // Questions about numbers that are not open are charged.
    let mut strange = bus.plugin("strange");
    for open in 0..200 {
        strange.send(sync(open));
    }
    assert_eq!(code_of(&strange.ended()), Code::Overloaded);
    // The provider does not map its outbox, so the first question is not answered.
    let (mut provider, mut hasty) = (bus.plugin("provider"), bus.plugin("hasty"));
    assert_eq!(provider.provide("gate", CallKind::Function, 7), None);
    hasty.open(1, "gate", 7);
    hasty.send(sync(1));
    hasty.send(sync(1));
    assert_eq!(code_of(&hasty.ended()), Code::Protocol);
    is_well(&bus);
}

/// A plugin that asks again as soon as it is answered never loses its session, however often it asks and however few requests it may make;
/// but it waits for its turn.
#[test]
fn who_asks_in_a_loop_is_slowed_and_stays() {
    let limits = BusLimits {
        requests_per_second: 10,
        request_burst: 100,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    let mut asking = bus.plugin("asking");
    asking.open(1, "gate", 7);
    assert_eq!(asking.state().route, None);
    let begun = Instant::now();
    const TIMES: u32 = 3000;
    for _ in 0..TIMES {
        asking.send(GateToBroker::Sync { open: 1 });
        assert!(is_synced(&mut asking, 1));
    }
    // 1,000 at once, and then 4,000 a second.
    assert!(begun.elapsed() > Duration::from_millis(400));
    assert!(begun.elapsed() < PATIENCE);
    is_well(&bus);
}

/// A link over which the caller may not call any more what it could, and the `Revoke` that the provider was sent.
fn revoked(bus: &Bus) -> (Peer, Peer, LinkEnd, u64) {
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    link(&mut caller, &mut provider, "gate");
    thread::scope(|scope| {
        let change = scope.spawn(|| bus.broker.set_policy("caller", Some(Policy::new())));
        let (end, number) = match provider.record() {
            ToPlugin::Link(LinkToPlugin::Revoke {
                end,
                number,
                indexes,
            }) => {
                assert_eq!(indexes, [0]);
                (end, number)
            }
            other => panic!("nothing is revoked: {other:?}"),
        };
        thread::sleep(SHORT / 3);
        assert!(!change.is_finished(), "nobody has acknowledged it");
        provider.send(LinkToBroker::Revoked { end, number });
        assert_eq!(change.join().unwrap().unwrap(), [""; 0]);
        (caller, provider, end, number)
    })
}

/// `set_policy` returns only after the provider has confirmed that it refuses, so no later call is served.
#[test]
fn a_change_of_policy_waits_for_the_provider() {
    let bus = bus();
    drop(revoked(&bus));
    is_well(&bus);
}

#[test]
fn refusing_what_was_not_to_be_refused_ends_the_session() {
    let bus = bus();
    let (_caller, mut provider, end, number) = revoked(&bus);
    // A second acknowledgement.
    provider.send(LinkToBroker::Revoked { end, number });
    assert_eq!(code_of(&provider.ended()), Code::Protocol);
    let mut stranger = bus.plugin("stranger");
    stranger.send(LinkToBroker::Revoked { end, number: 1 });
    assert_eq!(code_of(&stranger.ended()), Code::Protocol);
    is_well(&bus);
}

/// A plugin that does not acknowledge is named and loses the link, but not its session.
#[test]
fn who_does_not_acknowledge_is_named_and_loses_the_link() {
    let bus = bus_with(|builder| builder.step_deadline(SHORT));
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    link(&mut caller, &mut provider, "gate");
    let begun = Instant::now();
    let missing = bus.broker.set_policy("caller", Some(Policy::new()));
    assert_eq!(missing.unwrap(), ["provider"]);
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < PATIENCE);
    let ToPlugin::Link(LinkToPlugin::Revoke { end, number, .. }) = provider.record() else {
        panic!("nothing is revoked");
    };
    let ToPlugin::Link(LinkToPlugin::Gone { .. }) = provider.record() else {
        panic!("the link is there");
    };
    // The late acknowledgement is accepted.
    provider.send(LinkToBroker::Revoked { end, number });
    bus.broker.set_policy("caller", None).unwrap();
    assert_eq!(provider.withdraw("gate", CallKind::Function), None);
    is_well(&bus);
}
