//! Prefixes, and the names under them.

use callgate_layout::control::SessionToPlugin;

use super::*;
use crate::policy::Policy;

const C: PluginId = PluginId(3);

fn world() -> World {
    World::of(["a", "b", "c"], 8, FROM_ONE)
}

impl World {
    /// The code with which an offer is refused; `None` if it is accepted.
    fn offers(&mut self, from: PluginId, gate: &str) -> Option<Code> {
        let number = match gate.ends_with('.') {
            true => 7,
            false => 8,
        };
        let schema = SchemaSource::Inline(schema_of(number));
        self.ok(from, offer_of(gate, schema, Encodings::BOTH));
        let said = self.effects().into_iter();
        let mut refusals = said.filter_map(|effect| match effect {
            Effect::Send(_, ToPlugin::Session(SessionToPlugin::Answer { failure, .. })) => failure,
            _ => None,
        });
        let failure = refusals.next()?;
        Code::from_u16(failure.code)
    }

    fn comes_back_with(&mut self, from: PluginId, request: u32, gate: &str) -> Vec<ToPlugin> {
        self.ok(from, offer(request, gate, CallKind::Function, Some(0)));
        let said = self.obeyed().into_iter();
        let its = said.filter(|(to, _)| *to == from);
        its.map(|(_, record)| record).collect()
    }

    /// The state that a plugin is told last.
    fn last_told(&mut self) -> GateState {
        self.obedient().pop().expect("a state").1
    }

    /// The index of the grant that is sent now, and not acknowledged.
    fn granted(&mut self) -> (LinkEnd, u16) {
        let effects = self.effects().into_iter();
        let mut grants = effects.filter_map(|effect| match effect {
            Effect::Send(_, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) => {
                Some((end, index))
            }
            _ => None,
        });
        grants.next().expect("a grant")
    }
}

fn differs() -> Availability {
    Availability::Differs {
        schema: 2,
        signature: "(u8)".into(),
        json: false,
    }
}

/// Names under one plugin's prefix were given to another plugin, or the other way round.
#[test]
fn what_is_under_a_prefix_belongs_to_its_owner() {
    let taken = Some(Code::AlreadyProvided);
    for (first, second) in [
        ("a.", "a.b"),
        ("a.", "a.b.c"),
        ("a.", "a.b."),
        ("a.b.", "a.b.c.d."),
    ] {
        for (one, other) in [(first, second), (second, first)] {
            let mut world = world();
            assert_eq!(world.offers(A, one), None);
            assert_eq!(world.offers(B, other), taken, "{one} {other}");
            assert_eq!(world.offers(A, other), None, "its own");
        }
    }
    for (one, other) in [
        ("a.", "b"),
        ("a.", "a"),
        ("a.", "ab.c"),
        ("a.b.", "a.c"),
        ("a.b.", "a.b"),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let mut world = world();
            assert_eq!(world.offers(A, one), None);
            assert_eq!(world.offers(B, other), None, "{one} {other}");
        }
    }
}

#[test]
fn a_prefix_is_said_to_be_one() {
    let mut world = world();
    for (gate, prefix) in [("a", true), ("a.", false), ("", true)] {
        let mut record = offer_of("x", SchemaSource::Inline(schema_of(7)), Encodings::BOTH);
        if let GateToBroker::Provide {
            gate: name,
            prefix: said,
            ..
        } = &mut record
        {
            (*name, *said) = (gate.into(), prefix);
        }
        world.ok(A, record);
        let refused = world.effects().into_iter().any(|effect| matches!(
            effect,
            Effect::Send(A, ToPlugin::Session(SessionToPlugin::Answer { failure: Some(failure), .. }))
                if failure.code == Code::InvalidArgument as u16
        ));
        assert!(refused, "{gate:?}");
    }
    assert!(world.bus.registry.owned_by(A).is_empty());
    // A prefix cannot be opened either.
    world.open(A, 1, "a.");
    let failed = |effect: &Effect| {
        matches!(
            effect,
            Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { .. }))
        )
    };
    assert!(world.effects().iter().any(failed));
}

/// A plugin's own gate was hidden by its prefix, or a name stayed with a prefix that was gone.
#[test]
fn an_exact_gate_wins_and_then_the_longest_prefix() {
    let mut world = world();
    world.open(A, 1, "a.b.c");
    assert_eq!(world.last_told().owner, None);
    let under = world.offers_and_told(B, ("a.", 7));
    assert_eq!((&under.function, under.generation), (&READY, 1));
    let longer = world.offers_and_told(B, ("a.b.", 7));
    assert_eq!((&longer.function, longer.generation), (&READY, 2));
    assert_eq!(longer.route, under.route, "the same types, and index");
    let exact = world.offers_and_told(B, ("a.b.c", 8));
    assert_eq!((&exact.function, exact.generation), (&differs(), 3));
    world.withdraw(B, "a.b.");
    assert!(world.obedient().is_empty(), "it is not by that");
    world.withdraw(B, "a.b.c");
    let back = world.last_told();
    assert_eq!((back.function, back.generation), (READY, 1));
    assert!(back.route.is_some());
    world.withdraw(B, "a.");
    let gone = world.last_told();
    assert_eq!((gone.owner, gone.generation, gone.route), (None, 0, None));
    assert_eq!(gone.function, Availability::Absent);
}

/// Each name has a grant of its own, under which the provider is asked by that name.
#[test]
fn each_name_that_is_open_has_an_index_of_its_own() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    for (open, name) in [(1, "a.x"), (2, "a.y"), (3, "a.x")] {
        world.open(A, open, name);
    }
    world.open(C, 1, "a.x");
    let told = world.obedient();
    let index = |(to, state): &(PluginId, GateState)| (*to, state.route.unwrap().index);
    let mut indexes: Vec<_> = told.iter().map(index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [(A, 0), (A, 0), (A, 1), (C, 0)]);
    assert_eq!(world.bus.member(B).unwrap().gates.used(), 1);
    assert_eq!(world.bus.member(A).unwrap().opens.used(), 3);
    let shown = world.bus.registry.shown();
    assert_eq!((shown[0].name, shown[0].users.len()), ("a.", 2));
}

#[test]
fn policies_are_asked_for_the_prefix_and_for_the_name() {
    let mut world = world();
    world.set_policy("b", Policy::new().provide("a.b").provide("*.c"));
    assert_eq!(world.offers(B, "a."), Some(Code::PermissionDenied));
    world.set_policy("b", Policy::new().provide("a.*"));
    world.set_policy("a", Policy::new().call("a.x"));
    world.effects();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    world.open(A, 2, "a.y");
    let told = world.obedient();
    assert_eq!(told.len(), 1, "the other one is refused");
    assert!(told[0].1.route.is_some());
    // The plugin keeps the right to the name, and loses that to the prefix.
    world.set_policy("b", Policy::new().provide("a.x"));
    let said = world.obeyed();
    let revoked = said.iter().any(|(to, record)| {
        let is_it = |indexes: &Vec<u16>| *to == B && *indexes == [0];
        matches!(record, ToPlugin::Link(LinkToPlugin::Revoke { indexes, .. }) if is_it(indexes))
    });
    assert!(revoked, "{said:?}");
    assert!(world.bus.registry.owned_by(B).is_empty());
}

/// A provider without a gate of a name kept the caller waiting, or was asked again and again.
#[test]
fn a_name_that_there_is_not_is_absent_until_it_is_opened_again() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    world.obedient();
    world.open(A, 2, "a.y");
    world.ok(A, GateToBroker::Sync { open: 2 });
    let (end, index) = world.granted();
    world.ok(B, LinkToBroker::NotProvided { end, index });
    let said = world.obeyed();
    let [
        (A, ToPlugin::Gate(GateToPlugin::State { open: 2, state })),
        (A, ToPlugin::Gate(synced)),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!((&state.owner, state.generation), (&None, 0));
    assert_eq!(*synced, GateToPlugin::Synced { open: 2 });
    // A new right, news about the link, or a question does not make the broker ask the provider again.
    world.set_policy("a", Policy::new().call("*"));
    world.ok(A, GateToBroker::Sync { open: 2 });
    assert!(!world.obeyed().iter().any(|(to, _)| *to == B));
    // After another open, the name is there, also for the opens that were denied before.
    world.open(A, 3, "a.y");
    let told = world.obedient();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|(_, state)| state.function == READY));
    assert_eq!(told[0].1.route.unwrap().index, 2, "that one rests");
}

/// A denial by one prefix does not count for the prefix or gate that provides the name next.
#[test]
fn a_name_is_asked_for_again_when_something_else_provides_it() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    world.obedient();
    for (number, again) in ["a.", "a.b.", "a.b.y"].into_iter().enumerate() {
        let open = 2 + number as u32;
        world.open(A, open, "a.b.y");
        let (end, index) = world.granted();
        world.ok(B, LinkToBroker::NotProvided { end, index });
        assert_eq!(world.last_told().owner, None);
        if again == "a." {
            world.withdraw(B, "a.");
            world.effects();
        }
        // Gates that do not provide the name make no difference.
        assert_eq!(world.offers(B, &format!("a.z{number}")), None);
        assert!(world.obedient().is_empty());
        assert_eq!(
            world.offers_and_told(B, (again, 7)).owner.as_deref(),
            Some("b")
        );
        world.ok(A, GateToBroker::Close { open });
        world.obedient();
    }
    // Asked again, too, when the prefix that denied the name goes and a shorter one provides it.
    world.open(A, 9, "a.b.y");
    let (end, index) = world.granted();
    world.ok(B, LinkToBroker::NotProvided { end, index });
    assert_eq!(world.last_told().owner, None);
    world.withdraw(B, "a.b.y");
    assert_eq!(world.last_told().owner.as_deref(), Some("b"));
}

/// A denial of a grant that was not sent, or that was sent to another plugin.
#[test]
fn who_denies_what_it_was_not_granted_breaks_the_protocol() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    world.obedient();
    let protocol = Some(Code::Protocol);
    let end = LinkEnd { link: 1, side: 1 };
    for (index, end, from) in [(0, end, B), (9, end, B), (0, end, A), (0, end.other(), B)] {
        let denies = LinkToBroker::NotProvided { end, index };
        assert_eq!(world.code_of(from, denies), protocol);
    }
}

/// If the first grant of a new link is denied, the link must still be set up for the other names.
#[test]
fn a_link_is_set_up_also_where_its_first_name_is_not_there() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    let mut told = Vec::new();
    while let Some(effect) = world.bus.next_effect() {
        match effect {
            Effect::Make { to, memory, .. } => world.ok(to, mapped(memory, Role::Writer)),
            Effect::Seal(_, memory) => world.bus.memory_sealed(memory, world.now),
            Effect::Peer { to, end, .. } => world.ok(to, peer_mapped(end)),
            Effect::Send(to, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) => {
                world.ok(to, LinkToBroker::NotProvided { end, index });
            }
            Effect::Send(_, ToPlugin::Gate(GateToPlugin::State { state, .. })) => told.push(state),
            _ => {}
        }
    }
    assert!(told.len() == 1 && told[0].owner.is_none(), "{told:?}");
    assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
    world.open(A, 2, "a.y");
    assert_eq!(world.last_told().function, READY);
}

/// A prefix, a gate under it and a second such gate: each waits while another plugin is in its way, and the one that came first is first.
#[test]
fn what_cannot_be_provided_side_by_side_waits_in_line() {
    let mut world = world();
    world.provide(A, "a.b");
    world.effects();
    let lost = |owner: &str, request| {
        let owner = owner.into();
        [ToPlugin::from(GateToPlugin::Lost { request, owner })]
    };
    assert_eq!(world.comes_back_with(B, 5, "a."), lost("a", 5));
    assert_eq!(world.comes_back_with(C, 6, "a.b"), lost("a", 6));
    let provided = GateToPlugin::Provided {
        request: 7,
        life: 2,
    };
    assert_eq!(world.comes_back_with(C, 7, "a.b.c."), [provided.into()]);
    world.withdraw(A, "a.b");
    let said = world.obeyed();
    let provided: Vec<_> = said
        .iter()
        .filter_map(|(to, record)| match record {
            ToPlugin::Gate(GateToPlugin::Provided { request, .. }) => Some((*to, *request)),
            _ => None,
        })
        .collect();
    assert_eq!(
        provided,
        [(C, 6)],
        "B waits for what C has under its prefix"
    );
    world.withdraw(C, "a.b.c.");
    world.obeyed();
    world.withdraw(C, "a.b");
    let mut said = world.obeyed();
    said.retain(|(to, _)| *to == B);
    let life = 4;
    let provided = GateToPlugin::Provided { request: 5, life };
    assert_eq!(said, [(B, provided.into())]);
}

/// A prefix that comes back goes on with its life, and so do the names under it.
#[test]
fn a_prefix_has_a_life() {
    let mut world = World::of(
        ["a", "b"],
        8,
        First {
            link: 1,
            life: 1000,
            event: 1,
            share: 1,
        },
    );
    world.open(A, 1, "a.x");
    world.obedient();
    world.ok(B, offer(4, "a.", CallKind::Function, Some(77)));
    assert_eq!(world.last_told().generation, 77);
    world.withdraw(B, "a.");
    world.obedient();
    world.ok(B, offer(4, "a.", CallKind::Function, Some(77)));
    assert_eq!(world.last_told().generation, 1000);
}

/// The provider of a prefix dies, and another plugin provides a name under it by itself.
#[test]
fn names_go_from_one_provider_to_another() {
    let mut world = world();
    assert_eq!(world.offers(B, "a."), None);
    world.open(A, 1, "a.x");
    assert_eq!(world.last_told().owner.as_deref(), Some("b"));
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(B, &why, world.now);
    assert_eq!(world.last_told().owner, None);
    world.provide(C, "a.x");
    let state = world.last_told();
    assert_eq!(state.owner.as_deref(), Some("c"));
    assert!(state.route.is_some());
}

impl World {
    fn offers_and_told(&mut self, from: PluginId, (gate, number): (&str, u8)) -> GateState {
        let schema = SchemaSource::Inline(schema_of(number));
        self.ok(from, offer_of(gate, schema, Encodings::BOTH));
        self.last_told()
    }
}
