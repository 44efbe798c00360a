//! The rights to send and to hear, and what ends when they change.

use super::*;
use crate::policy::Policy;

fn denied(world: &mut World) -> bool {
    world.refused() == Some(Code::PermissionDenied)
}

#[test]
fn each_right_allows_its_own() {
    let mut world = World::events();
    let policy = Policy::new()
        .provide("own.*")
        .send("open.*")
        .subscribe("heard.*");
    world.bus.set_policy("a", Some(policy), world.now);
    world.effects();
    let offers = [
        ("own.n", offer_topic("own.n"), false),
        ("open.n", offer_topic("open.n"), true),
        ("open", offer_open("open.n"), false),
        ("open own", offer_open("own.n"), true),
    ];
    for (what, offer, expected) in offers {
        world.ok(A, offer);
        assert_eq!(denied(&mut world), expected, "{what}");
    }
    for (number, (topic, expected)) in (1..).zip([
        ("heard.n", false),
        ("heard.", false),
        ("heard.n.", false),
        ("own.n", true),
        ("h.", true),
    ]) {
        world.ok(A, subscribe(number, topic));
        assert_eq!(denied(&mut world), expected, "{topic}");
    }
}

/// With a right to only some names of a prefix, the others would be left out without anybody being told.
#[test]
fn a_prefix_takes_a_pattern_that_covers_it() {
    let mut world = World::events();
    let policy = Policy::new().subscribe("p.*.n").subscribe("p.");
    world.bus.set_policy("a", Some(policy), world.now);
    world.effects();
    world.ok(A, subscribe(1, "p."));
    let refusal = world.refused_with().expect("it is refused");
    assert_eq!(refusal.code, Code::PermissionDenied as u16);
    assert!(
        refusal.message.contains("gate.subscribe:p.*"),
        "{refusal:?}"
    );
    world.ok(A, subscribe(1, "p.x.n"));
    assert_eq!(world.refused(), None);
}

/// A plugin that has connected only for listings neither sends nor hears.
#[test]
fn inspectors_neither_send_nor_hear() {
    let mut world = World::events();
    world.bus.only_inspects(A);
    world.ok(A, offer_open("n"));
    assert!(denied(&mut world));
    world.ok(A, subscribe(1, "n"));
    assert!(denied(&mut world));
}

/// What a plugin got by a right must end when the right is taken away.
#[test]
fn a_changed_policy_ends_what_it_does_not_allow() {
    let mut world = World::events();
    world.ok(A, offer_topic("n"));
    world.hears(B, 1, "n");
    let kept = world.hears(C, 2, "n");
    let mute = |world: &mut World| {
        let policy = Policy::new().provide("n");
        world.bus.set_policy("b", Some(policy), world.now);
    };
    mute(&mut world);
    assert_eq!(world.news(), of([(B, "Ended"), (A, "Unlisten")]));
    mute(&mut world);
    assert_eq!(world.news(), of([]), "but once");
    assert_eq!(world.progress(kept), Some(Progress::Started));
    // A plugin that gets the right back hears the topic without subscribing anew.
    world.bus.set_policy("b", None, world.now);
    assert_eq!(world.news(), of([(B, "Found")]));
    let feed = world.feed_of(B, 1);
    world.set_up(feed);
    world.effects();
    let policy = Some(Policy::new());
    world.bus.set_policy("a", policy, world.now);
    let told = world.effects();
    let ends = of([(A, "(let go)"), (C, "Ended"), (B, "Ended"), (A, "Closed")]);
    assert_eq!(short(&told), ends);
    let is_denied = |effect: &Effect| match effect {
        Effect::Send(_, ToPlugin::Feed(FeedToPlugin::Ended { failure, .. }))
        | Effect::Send(_, ToPlugin::Source(SourceToPlugin::Closed { failure, .. })) => {
            failure.code == Code::PermissionDenied as u16
        }
        _ => true,
    };
    assert!(told.iter().all(is_denied), "{told:?}");
}

/// A topic that its owner may not have any more went to no plugin in line, or to one that may not have it either.
#[test]
fn the_line_moves_up_to_who_may_have_it() {
    let mut world = World::events();
    world.ok(A, offer_topic("n"));
    world.ok(B, offer_again(5, "n"));
    world.ok(C, offer_again(6, "n"));
    world.effects();
    world.bus.set_policy("b", Some(Policy::new()), world.now);
    assert_eq!(world.news(), of([(B, "Answer")]));
    world.bus.set_policy("a", Some(Policy::new()), world.now);
    assert_eq!(world.news(), of([(A, "Closed"), (C, "Offered")]));
}

/// A plugin whose offer is being set up does not know the source's number, so its request is answered.
#[test]
fn an_offer_that_is_not_allowed_any_more_is_answered() {
    let mut world = World::events();
    world.ok(B, subscribe(1, "n"));
    world.ok(A, offer_topic("n"));
    world.effects();
    world.bus.set_policy("a", Some(Policy::new()), world.now);
    assert_eq!(world.news(), of([(B, "Ended"), (A, "Answer")]));
    assert_eq!(world.bus.next_deadline(), None);
}

/// On a strict bus nothing is allowed without a policy.
#[test]
fn a_strict_bus_allows_nothing_unsaid() {
    let mut world = World::events();
    let mut policies = Policies::default();
    policies.set("a", Some(Policy::new().send("x.*").subscribe("y")));
    policies.strict = true;
    world.bus.set_policies(policies);
    world.ok(A, offer_open("x.n"));
    assert_eq!(world.refused(), None);
    world.ok(A, subscribe(1, "y"));
    assert_eq!(world.refused(), None);
    for record in [offer_open("x.n"), offer_topic("x.m")] {
        world.ok(B, record);
        assert!(denied(&mut world));
    }
    world.ok(B, subscribe(1, "y"));
    assert!(denied(&mut world));
}
