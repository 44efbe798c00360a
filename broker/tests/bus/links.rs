//! Links between plugins that keep to the protocol.

use std::os::fd::AsFd;

use callgate_layout::control::{
    Availability, GateState, GateToBroker, GateToPlugin, LinkToBroker, LinkToPlugin, Route,
    ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::geometry::Geometry;
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::process::has_ended;
use callgate_layout::{Code, Encoding};

use crate::support::{bus, code_of, inode, link};

const READY: Availability = Availability::Ready {
    encoding: Encoding::Archive,
};

/// With the wrong memory, or memory that another process can write, a caller would talk to nobody, or to anybody.
#[test]
fn two_plugins_get_each_others_memory() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (ours, theirs, state) = link(&mut caller, &mut provider, "g");
    let route = Route {
        end: ours.end,
        index: 0,
    };
    assert_eq!(state.route, Some(route));
    assert_eq!(state.owner.as_deref(), Some("provider"));
    assert_eq!(
        (state.function, state.action),
        (READY, Availability::Absent)
    );
    assert_eq!((ours.end.side, theirs.end), (0, ours.end.other()));
    for (linked, other, plugin) in [(&ours, &theirs, &provider), (&theirs, &ours, &caller)] {
        let (info, fds) = linked.peer.as_ref().unwrap();
        assert_eq!((info.plugin, info.pid), (plugin.id, std::process::id()));
        assert_eq!(inode(&fds[0]), inode(&other.outbox_fd));
        assert_eq!(inode(&fds[1]), inode(&plugin.pages[1]));
        assert_eq!(inode(&fds[2]), inode(&plugin.pages[0]));
        assert!(!has_ended(fds[3].as_fd()));
        let clone = |index: usize| fds[index].try_clone().unwrap();
        let len = Geometry::DEFAULT.total_len();
        assert!(Mapping::writable(clone(0), len).is_err());
        assert!(Mapping::read_only(clone(0), len).is_ok());
        assert!(Mapping::read_only(clone(1), STATUS_LEN).is_ok());
        assert!(Mapping::writable(clone(2), DOORBELL_LEN).is_ok());
    }
}

/// More gates must not cost more memory, in either direction.
#[test]
fn further_gates_go_over_the_same_link() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (ours, theirs, _) = link(&mut caller, &mut provider, "g");
    assert_eq!(provider.provide("h", CallKind::Action, 7), None);
    caller.open(2, "h", 7);
    assert_eq!(provider.install_grant(), 1);
    let route = caller.state().route.unwrap();
    assert_eq!((route.end, route.index), (ours.end, 1));
    assert_eq!(caller.provide("back", CallKind::Function, 7), None);
    provider.open(1, "back", 7);
    caller.install_grant();
    let route = provider.state().route.unwrap();
    assert_eq!((route.end, route.index), (theirs.end, 0));
    assert_eq!(bus.broker.snapshot().unwrap().links.len(), 1);
}

/// Opening a gate before it is provided is no error; the gate becomes callable when its provider comes.
#[test]
fn a_gate_comes_and_goes() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    caller.open(1, "g", 7);
    let state = caller.state();
    assert_eq!((state.owner, state.function), (None, Availability::Absent));
    caller.send(GateToBroker::Close { open: 1 });
    let (_ours, _theirs, state) = link(&mut caller, &mut provider, "g");
    assert_eq!(provider.provide("g", CallKind::Action, 8), None);
    assert!(caller.is_quiet(), "the new kind is not served yet");
    provider.install_grant();
    let with_action = caller.state();
    assert_eq!(with_action.route, state.route);
    assert!(matches!(
        with_action.action,
        Availability::Differs { json: false, .. }
    ));
    assert_eq!(provider.withdraw("g", CallKind::Action), None);
    assert_eq!(caller.state(), state);
    assert_eq!(provider.withdraw("g", CallKind::Function), None);
    assert_eq!(caller.state().owner, None);
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    assert!(caller.is_quiet(), "the grant is not installed yet");
    provider.install_grant();
    let next_life = caller.state();
    assert!(next_life.generation > state.generation);
    let generation = state.generation;
    assert_eq!(
        GateState {
            generation,
            ..next_life
        },
        state
    );
}

/// A call for the old shape must not reach a handler for the new one.
#[test]
fn a_gate_of_another_shape_gets_another_index() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (_ours, _theirs, state) = link(&mut caller, &mut provider, "g");
    assert_eq!(provider.withdraw("g", CallKind::Function), None);
    assert_eq!(caller.state().owner, None);
    assert_eq!(provider.provide("g", CallKind::Function, 8), None);
    assert!(matches!(
        caller.state().function,
        Availability::Differs { json: false, .. }
    ));
    caller.open(2, "g", 8);
    assert_ne!(
        Some(provider.install_grant()),
        state.route.map(|route| route.index)
    );
    assert!(caller.state().route.is_some());
}

/// Plugins would otherwise wait for one that has ended, and its names would stay taken.
#[test]
fn the_end_of_a_plugin_is_told() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (ours, _theirs, _) = link(&mut caller, &mut provider, "g");
    drop(provider);
    match caller.record() {
        ToPlugin::Link(LinkToPlugin::Gone { end, failure }) => {
            assert_eq!((end, code_of(&failure)), (ours.end, Code::ProviderGone));
            assert!(failure.message.contains("`provider`"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(caller.state().owner, None);
    let listing = bus.broker.snapshot().unwrap();
    assert_eq!((listing.plugins.len(), listing.gates.len()), (1, 0));
    assert!(listing.links.is_empty());
    let mut again = bus.plugin("provider");
    assert_eq!(again.provide("g", CallKind::Function, 7), None);
    assert!(caller.mapped_outbox().end.link > ours.end.link);
}

/// The death of a plugin with a thousand gates must not end the sessions of those that have them open.
#[test]
fn the_end_of_many_gates_is_bearable() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let (_ours, _theirs, _) = link(&mut caller, &mut provider, "g");
    for number in 0..1000 {
        let gate = format!("g{number}");
        assert_eq!(provider.provide(&gate, CallKind::Action, 7), None);
        caller.open(number + 10, &gate, 7);
        provider.install_grant();
        assert!(caller.state().route.is_some());
    }
    drop(provider);
    assert!(matches!(
        caller.record(),
        ToPlugin::Link(LinkToPlugin::Gone { .. })
    ));
    for _ in 0..1001 {
        assert_eq!(caller.state().owner, None);
    }
    assert!(caller.is_quiet());
}

/// Calls of a gate with two owners would go to either of them.
#[test]
fn a_gate_has_one_owner_who_is_named() {
    let bus = bus();
    let (mut first, mut second) = (bus.plugin("first"), bus.plugin("second"));
    assert_eq!(first.provide("g", CallKind::Function, 7), None);
    let failure = second.provide("g", CallKind::Action, 7).unwrap();
    assert_eq!(code_of(&failure), Code::AlreadyProvided);
    assert!(failure.message.contains("`first`"), "{failure:?}");
    let twice = first.provide("g", CallKind::Function, 7).unwrap();
    assert_eq!(code_of(&twice), Code::AlreadyProvided);
    let absent = second.withdraw("g", CallKind::Function).unwrap();
    assert_eq!(code_of(&absent), Code::NotReady);
    let odd = second.provide("a\nb", CallKind::Function, 7).unwrap();
    assert_eq!(code_of(&odd), Code::InvalidArgument);
}

/// A plugin that calls its own gate uses a link like any other.
#[test]
fn a_plugin_calls_itself() {
    let bus = bus();
    let mut plugin = bus.plugin("alone");
    assert_eq!(plugin.provide("g", CallKind::Function, 7), None);
    plugin.open(1, "g", 7);
    let (mut one, mut two) = (plugin.mapped_outbox(), plugin.mapped_outbox());
    assert_eq!((one.end.side, two.end), (1, one.end.other()));
    plugin.meet(&mut one);
    plugin.install_grant();
    plugin.meet(&mut two);
    assert_eq!(plugin.state().route.unwrap().end, two.end);
}

/// A link that one side cannot use must not leave the other one waiting.
#[test]
fn a_link_can_be_given_up() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    assert_eq!(provider.provide("g", CallKind::Function, 7), None);
    caller.open(1, "g", 7);
    let theirs = provider.outbox();
    let failure = callgate_layout::control::Failure::new(Code::System, "no room for a map");
    let end = theirs.end;
    provider.send(LinkToBroker::Failed { end, failure });
    let _ours = caller.outbox();
    assert!(matches!(
        caller.record(),
        ToPlugin::Link(LinkToPlugin::Gone { .. })
    ));
    match caller.record() {
        ToPlugin::Gate(GateToPlugin::OpenFailed { open: 1, failure }) => {
            assert!(failure.message.contains("no room for a map"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        provider.record(),
        ToPlugin::Link(LinkToPlugin::Gone { .. })
    ));
}
