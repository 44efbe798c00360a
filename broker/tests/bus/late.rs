//! Plugins that do not acknowledge in time lose a link, and get it back when they go on.

use callgate_layout::Code;
use callgate_layout::control::{
    GateToPlugin, LinkEnd, LinkToPlugin, MemoryId, MemoryToPlugin, ToPlugin,
};
use callgate_layout::envelope::CallKind;

use crate::hostile::is_well;
use crate::support::records::outbox_mapped;
use crate::support::{Peer, SHORT, bus_with, code_of};

/// Takes the records that say that a link has ended, and that the open over it is refused because the other side did not do something in
/// time.
fn expect_refusal(caller: &mut Peer, end: LinkEnd, word: &str) {
    match caller.record() {
        ToPlugin::Link(LinkToPlugin::Gone { end: gone, failure }) => {
            assert_eq!((gone, code_of(&failure)), (end, Code::Timeout));
        }
        other => panic!("{other:?}"),
    }
    match caller.record() {
        ToPlugin::Gate(GateToPlugin::OpenFailed { open: 1, failure }) => {
            assert_eq!(code_of(&failure), Code::Timeout);
            let message = &failure.message;
            assert!(
                message.contains("`provider`") && message.contains(word),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(caller.is_quiet());
}

/// Takes the records by which the gate becomes callable after all, over a second link.
fn expect_way(caller: &mut Peer, provider: &mut Peer) {
    let mut theirs = provider.mapped_outbox();
    let mut ours = caller.mapped_outbox();
    provider.meet(&mut theirs);
    provider.install_grant();
    caller.meet(&mut ours);
    assert_eq!(caller.state().route.map(|route| route.end), Some(ours.end));
}

/// A plugin that stops while a link is set up loses that link until it goes on. The other side is not left waiting,
/// and it keeps its session.
#[test]
fn who_does_not_map_its_outbox_loses_the_link_until_it_does() {
    let bus = bus_with(|builder| builder.step_deadline(SHORT));
    let mut caller = bus.plugin("caller");
    let mut provider = bus.plugin("provider");
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    caller.open(1, "g", 7);
    let ours = caller.mapped_outbox();
    expect_refusal(&mut caller, ours.end, "map its outbox");
    // The plugin goes on, and reads everything that it was sent meanwhile.
    let late = provider.mapped_outbox();
    match provider.record() {
        ToPlugin::Link(LinkToPlugin::Gone { end, .. }) => assert_eq!(end, late.end),
        other => panic!("{other:?}"),
    }
    expect_way(&mut caller, &mut provider);
    is_well(&bus);
}

/// A provider that never installs a grant would keep its callers waiting.
#[test]
fn who_does_not_install_a_grant_loses_the_link_until_it_does() {
    let bus = bus_with(|builder| builder.step_deadline(SHORT));
    let mut caller = bus.plugin("caller");
    let mut provider = bus.plugin("provider");
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    caller.open(1, "g", 7);
    let mut theirs = provider.mapped_outbox();
    let ours = caller.mapped_outbox();
    provider.meet(&mut theirs);
    expect_refusal(&mut caller, ours.end, "install a grant");
    provider.install_grant();
    match provider.record() {
        ToPlugin::Link(LinkToPlugin::Gone { end, .. }) => assert_eq!(end, theirs.end),
        other => panic!("{other:?}"),
    }
    expect_way(&mut caller, &mut provider);
    is_well(&bus);
}

/// The end of a new link, if this record is its outbox.
fn new_outbox(record: &ToPlugin) -> Option<LinkEnd> {
    match record {
        ToPlugin::Memory(MemoryToPlugin::Map {
            memory: MemoryId::Outbox { end },
            ..
        }) => Some(*end),
        _ => None,
    }
}

/// A plugin that takes descriptors and acknowledges nothing does not make the broker keep more and more outboxes for
/// it, however often others open its gate.
#[test]
fn who_never_acknowledges_takes_no_more_of_the_broker() {
    let bus = bus_with(|builder| builder.step_deadline(SHORT));
    let mut provider = bus.plugin("provider");
    provider.takes = false;
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    let mut callers: Vec<Peer> = (0..30)
        .map(|number| {
            let mut caller = bus.plugin(&format!("caller {number}"));
            caller.open(1, "g", 7);
            // On a slow machine the last opens are refused at once.
            if let Some(end) = new_outbox(&caller.record()) {
                caller.send(outbox_mapped(end));
                while !matches!(
                    caller.record(),
                    ToPlugin::Gate(GateToPlugin::OpenFailed { .. })
                ) {}
            }
            caller
        })
        .collect();
    for caller in &mut callers {
        caller.open(2, "g", 7);
        while !matches!(
            caller.record(),
            ToPlugin::Gate(GateToPlugin::OpenFailed { open: 2, .. })
        ) {}
    }
    assert!(bus.broker.snapshot().unwrap().links.is_empty());
    let mut outboxes = 0;
    while let Ok(Some((record, _))) = provider.next_within(SHORT) {
        outboxes += usize::from(new_outbox(&record).is_some());
    }
    assert_eq!(outboxes, 1, "the others were not begun");
    is_well(&bus);
}
