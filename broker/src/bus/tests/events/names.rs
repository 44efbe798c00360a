//! Which names topics, gates and prefixes can have at the same time.

use super::*;

/// What a plugin uses a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Gate,
    Topic,
    Open,
}

const ALL: [Use; 3] = [Use::Gate, Use::Topic, Use::Open];

impl World {
    /// Whether a plugin may use a name in this way.
    fn uses(&mut self, plugin: PluginId, what: Use, name: &str) -> bool {
        match what {
            Use::Gate => self.provide(plugin, name),
            Use::Topic => self.ok(plugin, offer_topic(name)),
            Use::Open => self.ok(plugin, offer_open(name)),
        }
        let refused = self.refused();
        assert!([None, Some(Code::AlreadyProvided)].contains(&refused));
        refused.is_none()
    }
}

/// If a plugin could send events under the name of another plugin's gate, listeners would take them for that gate's.
#[test]
fn a_name_has_one_owner_or_none() {
    for (first, second) in ALL
        .into_iter()
        .flat_map(|one| ALL.map(|other| (one, other)))
    {
        for plugin in [A, B] {
            let mut world = World::events();
            assert!(world.uses(A, first, "n"));
            let may = world.uses(plugin, second, "n");
            let expected = match (first, second) {
                (Use::Open, Use::Open) => plugin == B,
                (Use::Open, _) | (_, Use::Open) => false,
                (one, other) => plugin == A && one != other,
            };
            assert_eq!(may, expected, "{first:?}, then {second:?} by {plugin:?}");
        }
    }
}

/// A plugin that provides all gates under a prefix must also be the only one that sends their events.
#[test]
fn a_prefix_takes_owned_topics_with_it_and_no_open_ones() {
    for (what, plugin) in ALL.into_iter().flat_map(|what| [(what, A), (what, B)]) {
        let expected = what == Use::Open || plugin == A;
        let mut world = World::events();
        assert!(world.uses(A, Use::Gate, "p."));
        assert_eq!(world.uses(plugin, what, "p.q.n"), expected, "{what:?}");
        let mut world = World::events();
        assert!(world.uses(plugin, what, "p.q.n"));
        assert_eq!(world.uses(A, Use::Gate, "p."), expected, "{what:?}");
    }
}

/// A topic exists as long as it has a source.
#[test]
fn names_are_free_again_with_their_last_source() {
    let mut world = World::events();
    for plugin in [A, B] {
        assert!(world.uses(plugin, Use::Open, "n"));
    }
    world.ok(A, close("n"));
    assert_eq!(world.refused(), None);
    assert!(!world.uses(C, Use::Gate, "n") && !world.uses(C, Use::Topic, "n"));
    world.bus.remove(B, &gone(), world.now);
    world.effects();
    assert!(world.uses(C, Use::Gate, "n") && world.uses(C, Use::Topic, "n"));
    // The gate ends, and its topic stays.
    world.withdraw(C, "n");
    world.effects();
    assert!(!world.uses(A, Use::Gate, "n"));
    world.ok(C, close("n"));
    world.effects();
    assert!(world.uses(A, Use::Open, "n"));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut world = World::events();
    let wrong: [fn(&mut SourceToBroker); 8] = [
        |offer| change(offer, |topic, _, _, _| *topic = "p.".into()),
        |offer| change(offer, |topic, _, _, _| *topic = String::new()),
        |offer| change(offer, |_, capacity, _, _| *capacity = 0),
        |offer| change(offer, |_, capacity, _, _| *capacity = 300 << 10),
        |offer| change(offer, |_, capacity, _, _| *capacity = 32 << 10),
        |offer| change(offer, |_, capacity, _, _| *capacity = 32 << 20),
        |offer| change(offer, |_, _, word, _| *word = 8192),
        |offer| change(offer, |_, _, _, signature| *signature = "\n".into()),
    ];
    for (at, wrong) in wrong.into_iter().enumerate() {
        let mut offer = offer_topic("n");
        wrong(&mut offer);
        world.ok(A, offer);
        assert_eq!(world.refused(), Some(Code::InvalidArgument), "{at}");
    }
    for (topic, prefix) in [("p", true), ("p.", false), ("", false), ("", true)] {
        let mut wanted = subscribe(1, topic);
        if let FeedToBroker::Subscribe { prefix: is, .. } = &mut wanted {
            *is = prefix;
        }
        world.ok(A, wanted);
        assert_eq!(world.refused(), Some(Code::InvalidArgument), "{topic:?}");
    }
    world.ok(A, close("n"));
    assert_eq!(world.refused(), Some(Code::NotReady), "it sends nothing");
    // The smallest and the largest possible ring.
    for (name, bytes) in [("least", 64 << 10), ("most", 16 << 20)] {
        let mut offer = offer_topic(name);
        change(&mut offer, |_, capacity, _, _| *capacity = bytes);
        world.ok(A, offer);
        assert!(world.heard_of("Offered"), "{name}");
    }
}

fn change(
    offer: &mut SourceToBroker,
    change: impl FnOnce(&mut String, &mut u32, &mut u16, &mut String),
) {
    if let SourceToBroker::Offer {
        topic,
        capacity,
        word,
        signature,
        ..
    } = offer
    {
        change(topic, capacity, word, signature);
    }
}

/// A subscription to an exact name does not hear longer names; one to a prefix hears all of them.
#[test]
fn sources_are_found_by_name_and_by_prefix() {
    let mut world = World::events();
    for topic in ["p.a", "p.a.b", "pa", "p"] {
        world.ok(A, offer_topic(topic));
    }
    world.ok(B, offer_open("p.c"));
    world.effects();
    let mut found = |number, topic| {
        world.ok(C, subscribe(number, topic));
        let effects = world.effects();
        let names = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(C, ToPlugin::Feed(FeedToPlugin::Found { topic, .. })) => Some(topic),
            _ => None,
        });
        Vec::from_iter(names)
    };
    assert_eq!(found(1, "p."), ["p.a", "p.a.b", "p.c"]);
    assert_eq!(found(2, "p.a"), ["p.a"]);
    assert_eq!(found(3, "p.a."), ["p.a.b"]);
    assert_eq!(found(4, "p"), ["p"]);
    assert!(found(5, "q.").is_empty());
    // And with the subscription first and the source after it.
    world.ok(B, offer_topic("p.a.c"));
    let told = world.news();
    assert_eq!(told, of([(C, "Found"), (C, "Found")]), "by 1 and by 3");
}
