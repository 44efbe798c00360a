//! Plugins that come back with a source whose topic another plugin has by now.

use super::*;

impl World {
    /// The answers to requests for topics since the last call.
    fn answers(&mut self) -> Vec<(PluginId, u32, &'static str)> {
        let effects = self.effects().into_iter();
        let answers = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Source(SourceToPlugin::Offered { request, .. })) => {
                Some((to, request, "offered"))
            }
            Effect::Send(to, ToPlugin::Source(SourceToPlugin::Lost { request, .. })) => {
                Some((to, request, "lost"))
            }
            Effect::Send(to, ToPlugin::Gate(GateToPlugin::Provided { request, .. })) => {
                Some((to, request, "provided"))
            }
            Effect::Send(to, ToPlugin::Gate(GateToPlugin::Lost { request, .. })) => {
                Some((to, request, "gate lost"))
            }
            _ => None,
        });
        answers.collect()
    }
}

/// The plugin that comes first to the next broker keeps the topic; the others get it in the order in which they came.
#[test]
fn a_topic_goes_to_who_has_stood_in_line_longest() {
    let mut world = World::events();
    world.ok(A, offer_topic("n"));
    world.ok(B, offer_again(5, "n"));
    world.ok(C, offer_again(6, "n"));
    let told = [(A, 1, "offered"), (B, 5, "lost"), (C, 6, "lost")];
    assert_eq!(world.answers(), told);
    world.ok(A, close("n"));
    assert_eq!(world.answers(), [(B, 5, "offered")]);
    world.bus.remove(B, &gone(), world.now);
    assert_eq!(world.answers(), [(C, 6, "offered")]);
}

/// A name must not be divided between two plugins, with the gate at one and the topic at the other.
#[test]
fn gates_and_topics_of_one_name_wait_for_each_other() {
    let mut world = World::events();
    world.provide(A, "n");
    world.ok(B, offer_again(5, "n"));
    world.ok(C, offer(7, "n", CallKind::Function, Some(1)));
    world.ok(B, offer(8, "n", CallKind::Function, Some(1)));
    world.effects();
    world.withdraw(A, "n");
    // B gets both, before C, which stands before it in the line for the gate.
    assert_eq!(world.answers(), [(B, 5, "offered"), (B, 8, "provided")]);
    world.ok(B, close("n"));
    assert_eq!(world.answers(), [], "the gate is in the way still");
    world.withdraw(B, "n");
    assert_eq!(world.answers(), [(C, 7, "provided")]);
    // A topic is in the way of a gate of the same name, and of a prefix over it.
    world.ok(C, offer_topic("q.n"));
    world.ok(A, offer(9, "q.", CallKind::Function, Some(1)));
    world.ok(B, offer(10, "q.n", CallKind::Action, Some(1)));
    let told = [(C, 1, "offered"), (A, 9, "gate lost"), (B, 10, "gate lost")];
    assert_eq!(world.answers(), told);
    world.ok(C, close("q.n"));
    assert_eq!(world.answers(), [(A, 9, "provided")]);
    // And a prefix is in the way of a topic under it.
    world.ok(C, offer_again(11, "q.n"));
    assert_eq!(world.answers(), [(C, 11, "lost")]);
    world.withdraw(A, "q.");
    assert_eq!(world.answers(), [(B, 10, "provided")]);
    world.bus.remove(B, &gone(), world.now);
    assert_eq!(world.answers(), [(C, 11, "offered")]);
}

/// A plugin that has left the line must not be given the topic.
#[test]
fn the_line_can_be_left() {
    let mut world = World::events();
    world.ok(A, offer_topic("n"));
    world.ok(B, offer_again(5, "n"));
    world.effects();
    world.ok(B, offer_again(6, "n"));
    assert_eq!(world.refused(), Some(Code::AlreadyProvided), "it waits");
    world.ok(B, close("n"));
    assert_eq!(world.news(), of([(B, "Answer")]));
    world.ok(A, close("n"));
    assert_eq!(world.answers(), []);
    world.ok(B, offer_again(7, "n"));
    assert_eq!(world.answers(), [(B, 7, "offered")]);
}

/// An open topic has no owner, so no plugin waits for it.
#[test]
fn open_topics_have_no_line() {
    let mut world = World::events();
    world.ok(A, offer_open("n"));
    world.ok(B, offer_again(5, "n"));
    assert_eq!(world.refused(), Some(Code::AlreadyProvided));
    world.ok(B, offer(6, "n", CallKind::Function, Some(1)));
    assert_eq!(world.refused(), Some(Code::AlreadyProvided));
}

/// Listeners that subscribed before the source came back are set up before the source may send.
#[test]
fn a_source_from_the_line_is_set_up_like_others() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    world.ok(B, offer_again(5, TOPIC));
    world.hears(C, 1, TOPIC);
    world.ok(A, close(TOPIC));
    let told = world.news();
    assert!(told.contains(&(C, "Found".into())), "{told:?}");
    assert!(!told.contains(&(B, "Offered".into())), "{told:?}");
    let feed = world.feed_of(C, 1);
    world.set_up(feed);
    assert_eq!(world.answers(), [(B, 5, "offered")]);
}

/// A place in line counts, so that no plugin waits for more than it may have.
#[test]
fn a_place_in_line_counts_as_a_gate() {
    let mut world = World::events();
    for (at, name) in ["1", "2", "3", "4", "5", "6", "7", "8"]
        .into_iter()
        .enumerate()
    {
        match at % 2 {
            0 => world.ok(B, offer_topic(name)),
            _ => world.provide(B, name),
        }
    }
    assert!(world.news().iter().all(|(_, name)| name != "Answer"));
    world.ok(B, offer_topic("9"));
    assert_eq!(world.refused(), Some(Code::Overloaded));
    world.ok(A, offer_topic("n"));
    world.ok(B, close("1"));
    world.ok(B, offer_again(5, "n"));
    world.effects();
    world.provide(B, "9");
    assert_eq!(world.refused(), Some(Code::Overloaded));
    world.ok(B, close("n"));
    world.effects();
    world.provide(B, "9");
    assert_eq!(world.refused(), None);
}
