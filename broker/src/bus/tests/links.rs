//! Gates that are called over links, and how links are set up and end.

use callgate_layout::control::MAX_TEXT;

use super::*;

/// The whole way from a gate that nobody provides to one that can be called, and back.
#[test]
fn an_open_gate_follows_its_provider() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    let told = world.obedient();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.function, Availability::Absent);
    world.provide(B, "g");
    let told = world.obedient();
    assert_eq!(told.len(), 1, "{told:?}");
    let (to, state) = &told[0];
    assert_eq!((*to, &state.owner), (A, &Some("b".into())));
    assert_eq!(state.function, READY);
    let route = state.route.unwrap();
    assert_eq!((route.end, route.index), (LinkEnd { link: 1, side: 0 }, 0));
    world.withdraw(B, "g");
    assert_eq!(world.obedient()[0].1.route, None);
    world.provide(B, "g");
    assert_eq!(
        world.obedient()[0].1.route,
        Some(route),
        "the index is kept"
    );
    assert_eq!(world.bus.next_deadline(), None, "nothing is awaited");
}

/// Two plugins that call each other need one link, and gates in both directions on it.
#[test]
fn one_link_serves_both_directions() {
    let mut world = World::new(1);
    for (provider, caller, gate) in [(A, B, "a.g"), (B, A, "b.g")] {
        world.provide(provider, gate);
        world.open(caller, 1, gate);
    }
    let told = world.obedient();
    let routes: Vec<_> = told.iter().filter_map(|(_, state)| state.route).collect();
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[0].end.link, routes[1].end.link);
    assert_ne!(routes[0].end.side, routes[1].end.side);
}

/// A plugin may call its own gates, and has both ends of that link.
#[test]
fn a_plugin_can_open_its_own_gate() {
    let mut world = World::new(1);
    world.provide(A, "g");
    world.open(A, 1, "g");
    let told = world.obedient();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.route.unwrap().end.side, 0);
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(A, &why, world.now);
    assert!(world.bus.links.is_empty() && world.bus.of_plugin.is_empty());
}

/// Everything of a dead plugin must be removed, and the plugins that it was linked with must be told.
#[test]
fn the_death_of_a_plugin_is_told_and_cleaned_up() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    let why = Failure::new(Code::ProviderGone, "its process has ended");
    world.bus.remove(B, &why, world.now);
    let effects = world.effects();
    let gone = effects.iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Link(LinkToPlugin::Gone { failure, .. })) => Some(failure),
        _ => None,
    });
    let gone = gone.unwrap();
    assert_eq!(gone.code, Code::ProviderGone as u16);
    assert!(gone.message.contains("plugin `b` (pid 2)"), "{gone:?}");
    let absent = |effect: &Effect| match effect {
        Effect::Send(A, ToPlugin::Gate(GateToPlugin::State { state, .. })) => state.owner.is_none(),
        _ => false,
    };
    let outboxes = [0, 1].map(|side| MemoryId::Outbox {
        end: LinkEnd { link: 1, side },
    });
    let dropped = |outbox: &MemoryId| {
        let is_it = |effect: &Effect| matches!(effect, Effect::LetGo { memory, .. } if *memory == (*outbox).into());
        effects.iter().any(is_it)
    };
    assert!(effects.iter().any(absent) && outboxes.iter().all(dropped));
    assert!(world.bus.links.is_empty() && world.bus.pairs.is_empty());
    assert!(world.bus.of_plugin.is_empty() && world.bus.holder("b").is_none());
    let late = peer_mapped(LinkEnd { link: 1, side: 0 });
    assert_eq!(
        world.code_of(A, late),
        Some(Code::Protocol),
        "nothing was owed"
    );
}

/// The failure that A is told when B ends.
fn told_of_the_end(world: &mut World, why: &Failure) -> Failure {
    world.bus.remove(B, why, world.now);
    let effects = world.effects();
    let gone = effects.into_iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Link(LinkToPlugin::Gone { failure, .. })) => Some(failure),
        _ => None,
    });
    gone.unwrap()
}

fn linked() -> World {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    world
}

/// How a program had ended was only in the broker's log.
#[test]
fn peers_are_told_how_a_process_has_ended() {
    let why = Failure::new(Code::ProviderGone, "its process has ended (code 3)");
    let why = why.with_context(r#"{"exit":{"code":3}}"#.into());
    let told = told_of_the_end(&mut linked(), &why);
    assert!(told.message.ends_with("has ended (code 3)"), "{told:?}");
    assert_eq!(told.context, why.context);
}

/// The peers of a plugin that stands for another program were told that it had closed its connection.
#[test]
fn peers_are_told_the_last_words_of_a_plugin_that_goes() {
    let farewell = |message: &str, context: &str| SessionToBroker::Farewell {
        message: message.into(),
        context: context.into(),
    };
    let closed = Failure::new(Code::ProviderGone, "it closed its connection");
    let mut world = linked();
    assert_eq!(world.code_of(B, farewell("first", "1")), None);
    assert_eq!(
        world.code_of(B, farewell("killed", r#"{"signal":9}"#)),
        None
    );
    let told = told_of_the_end(&mut world, &closed);
    assert!(told.message.ends_with("is gone: killed"), "{told:?}");
    assert_eq!(told.context.as_deref(), Some(r#"{"signal":9}"#));
    // A plugin whose session the broker ends does not have the last word.
    let mut world = linked();
    assert_eq!(world.code_of(B, farewell("killed", "9")), None);
    let told = told_of_the_end(&mut world, &Failure::new(Code::Protocol, "it lied"));
    assert!(told.message.ends_with("it lied"), "{told:?}");
    assert_eq!(told.context, None);
    let long = "1".repeat(MAX_TEXT);
    for (message, context) in [("", "{"), ("", ""), ("x", &long), (&long, "1")] {
        let code = linked().code_of(B, farewell(message, context));
        assert_eq!(code, Some(Code::Protocol), "{message:.9} {context:.9}");
    }
}

/// A plugin that acknowledges what it was not asked for must not pass for having done it.
#[test]
fn foreign_and_unknown_links_break_the_protocol() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.effects();
    let end = |link, side| LinkEnd { link, side };
    for (from, end) in [
        (A, end(1, 1)),
        (B, end(1, 0)),
        (A, end(1, 2)),
        (A, end(0, 0)),
        (A, end(2, 0)),
    ] {
        let code = world.code_of(from, outbox_mapped(end));
        assert_eq!(code, Some(Code::Protocol), "{from:?} {end:?}");
    }
    assert_eq!(
        world.code_of(A, SessionToBroker::StatusMapped),
        Some(Code::Protocol)
    );
    assert_eq!(
        world.code_of(A, SessionToBroker::Took),
        Some(Code::Protocol)
    );
}

/// A link that one side cannot use must neither leave the other side waiting nor be made again and again.
#[test]
fn a_link_that_failed_is_made_again_when_the_gate_is() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    let failed = LinkToBroker::Failed {
        end: LinkEnd { link: 1, side: 1 },
        failure: Failure::new(Code::System, "no memory"),
    };
    world.ok(B, failed);
    let effects = world.effects();
    let refused = |effect: &Effect| matches!(effect, Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { open: 5, failure })) if failure.message.contains("no memory"));
    assert!(effects.iter().any(refused), "{effects:?}");
    let noted = |effect: &Effect| matches!(effect, Effect::GaveUp(1, _));
    assert!(effects.iter().any(noted), "{effects:?}");
    assert!(world.bus.links.is_empty());
    world.withdraw(B, "g");
    world.provide(B, "g");
    let told = world.obedient();
    assert_eq!(told.last().unwrap().1.route.unwrap().end.link, 2);
}

/// A plugin over its quota gets an error, and no other plugin notices.
#[test]
fn links_over_the_limit_are_refused() {
    let mut world = World::new(0);
    world.provide(B, "g");
    world.open(A, 5, "g");
    let refused = world.effects().into_iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. })) => Some(failure),
        _ => None,
    });
    assert_eq!(refused.unwrap().code, Code::Overloaded as u16);
}

/// A plugin may ask for nothing before it has acknowledged its status page.
#[test]
fn a_request_before_the_status_page_breaks_the_protocol() {
    let mut world = World::new(1);
    let identity = world.bus.member(A).unwrap().identity.clone();
    let c = PluginId(3);
    world
        .bus
        .admit(c, identity, (3, SeenClock::default()), world.now);
    let code = world.code_of(c, SessionToBroker::List { request: 1 });
    assert_eq!(code, Some(Code::Protocol));
    world.bus.expire(world.now + STEP);
    let effects = world.effects();
    let ended = |effect: &Effect| matches!(effect, Effect::End(id, _) if *id == c);
    assert!(effects.iter().any(ended), "{effects:?}");
}

/// A plugin that makes and gives up links all the time must not have the other side's answers, which cross with that, counted as a flood of
/// requests.
#[test]
fn an_answer_that_crosses_with_the_end_of_its_link_costs_nothing() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    let failed = LinkToBroker::Failed {
        end: LinkEnd { link: 1, side: 0 },
        failure: Failure::new(Code::System, "no memory"),
    };
    world.ok(A, failed);
    let end = LinkEnd { link: 1, side: 1 };
    let answer = outbox_mapped(end);
    let taken = world.bus.record(B, answer.clone().into(), world.now);
    assert_eq!(taken, Ok(Weight::Expected));
    assert_eq!(world.code_of(B, answer), Some(Code::Protocol), "but once");
}

/// A moment without descriptors made a gate uncallable for as long as it was provided.
#[test]
fn a_link_that_there_was_no_memory_for_is_tried_again() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    let until = world.now + STEP / 2;
    let failure = Failure::new(Code::System, "no descriptors");
    world.bus.put_off(1, &failure, until);
    let effects = world.effects();
    let refused = |effect: &Effect| {
        matches!(
            effect,
            Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { .. }))
        )
    };
    assert!(effects.iter().any(refused), "{effects:?}");
    assert_eq!(world.bus.next_deadline(), Some(until));
    world.now = until;
    world.bus.expire(until);
    let told = world.obedient();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.route.unwrap().end.link, 2);
    assert_eq!(world.bus.next_deadline(), None);
}

/// Each of two plugins in different time namespaces took the other's deadlines for times long past.
#[test]
fn plugins_with_different_clocks_are_not_linked() {
    let mut world = World::new(8);
    for (id, offset) in [(A, Some(0)), (B, Some(100_000_000_000_000))] {
        let clock = SeenClock::new(Clock { offset, now: 7 }, 9);
        world.bus.members.get_mut(&id).expect("it is there").clock = clock;
    }
    world.provide(B, "g");
    world.effects();
    world.open(A, 1, "g");
    let effects = world.effects();
    let [Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. }))] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(failure.code, Code::System as u16);
    assert!(world.bus.links.is_empty());
}
