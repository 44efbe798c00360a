//! Indexes of names that are closed: free again, however that crosses with what else happens.

use super::*;

impl World {
    fn close(&mut self, from: PluginId, open: u32) {
        self.ok(from, GateToBroker::Close { open });
    }

    /// Answers all that is asked of plugins, and says how many grants and how many indexes were sent.
    fn counted(&mut self) -> (usize, usize) {
        let said = self.obeyed();
        let count =
            |what: fn(&ToPlugin) -> usize| said.iter().map(|(_, record)| what(record)).sum();
        let grants = count(|record| match record {
            ToPlugin::Link(LinkToPlugin::Grant { .. }) => 1,
            _ => 0,
        });
        let revoked = count(|record| match record {
            ToPlugin::Link(LinkToPlugin::Revoke { indexes, .. }) => indexes.len(),
            _ => 0,
        });
        (grants, revoked)
    }

    fn index_of(&mut self, from: PluginId, open: u32, gate: &str) -> u16 {
        self.open(from, open, gate);
        let (_, state) = self.obedient().pop().unwrap();
        state.route.unwrap().index
    }
}

/// The 65,537th name on a link failed for good, and each one stayed in the broker's memory.
#[test]
fn nothing_grows_with_names_that_were_opened_and_closed() {
    let mut world = World::new(8);
    world.provide(B, "a.");
    let (mut grants, mut revoked) = (0, 0);
    for number in 0..200_000_u32 {
        world.open(A, number, &format!("a.{number}"));
        let counted = world.counted();
        world.close(A, number);
        let more = world.counted();
        grants += counted.0 + more.0;
        revoked += counted.1 + more.1;
    }
    assert_eq!((grants, revoked), (200_000, 200_000));
    assert!(world.bus.registry.opens_of(A).is_empty());
    assert!(world.bus.registry.watchers("a.").is_empty());
    let link = world.bus.links.values().next().unwrap();
    assert_eq!(link.grants_known(), 0);
    assert_eq!(world.bus.next_deadline(), None);
    assert_eq!(world.bus.member(B).unwrap().owed, 0);
    assert_eq!(world.bus.revocations_under_way(), 0);
}

/// A gate that is provided by itself is no different.
#[test]
fn the_last_close_of_a_gate_takes_its_index_back() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.open(A, 2, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 0), "it is open once more");
    world.close(A, 2);
    assert_eq!(world.counted(), (0, 1));
    world.close(A, 2);
    assert_eq!(world.counted(), (0, 0));
    assert_eq!(world.index_of(A, 3, "g"), 1, "an index rests");
}

/// A plugin that calls its own gates has both ends of their link.
#[test]
fn a_plugin_closes_its_own_gate() {
    let mut world = World::new(8);
    world.provide(A, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 1));
}

/// Who opens and closes all the time has a provider sent no more than it acknowledges.
#[test]
fn one_revoke_of_closed_names_is_out_at_a_time() {
    let mut world = World::new(8);
    world.provide(B, "a.");
    for open in 0..8 {
        world.open(A, open, &format!("a.{open}"));
    }
    world.obedient();
    for open in 0..8 {
        world.close(A, open);
    }
    let first = world.revokes();
    let [(end, number, _)] = first[..] else {
        panic!("{first:?}");
    };
    assert_eq!(first[0].2, [0]);
    world.ok(B, LinkToBroker::Revoked { end, number });
    let second = world.revokes();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].2, Vec::from_iter(1..8));
    assert_eq!(
        world.code_of(B, LinkToBroker::Revoked { end, number }),
        Some(Code::Protocol)
    );
}

/// A name is opened again while its index is taken back, and stays callable.
#[test]
fn a_name_is_opened_again_while_its_revoke_is_out() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.close(A, 1);
    let revokes = world.revokes();
    let (end, number, _) = revokes[0];
    assert_eq!(world.index_of(A, 1, "g"), 1);
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert!(world.obedient().is_empty(), "nothing new to its caller");
    assert_eq!(world.index_of(A, 2, "g"), 1);
}

/// What is withdrawn and provided again crosses with a close.
#[test]
fn a_close_crosses_with_the_end_of_a_gate() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.withdraw(B, "g");
    world.close(A, 1);
    world.provide(B, "g");
    assert_eq!(world.counted(), (0, 1));
    assert_eq!(world.index_of(A, 1, "g"), 1);
    // Another plugin provides it meanwhile: the first one's index is free, too.
    world.withdraw(B, "g");
    world.obedient();
    world.provide(A, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 2));
    let known = world.bus.links.values().map(Link::grants_known);
    assert_eq!(known.sum::<usize>(), 0);
}

/// A stopped provider keeps its indexes until its link ends, as with any step.
#[test]
fn a_provider_that_does_not_refuse_what_is_closed_loses_the_link() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.close(A, 1);
    let (end, number, _) = world.revokes()[0];
    world.now += STEP;
    world.bus.expire(world.now);
    assert!(world.bus.links.is_empty());
    world.effects();
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.bus.next_deadline(), None);
}
