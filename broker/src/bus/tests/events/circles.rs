//! Senders that wait for listeners which wait for the senders.

use callgate_layout::control::{Held, Needs, WaitToBroker, WaitToPlugin};

use super::*;

/// The report of a thread that has its plugin's turn and waits for another plugin.
fn waiting(wait: u64, (from, callee): (PluginId, PluginId), needs: Needs) -> WaitToBroker {
    let turn = Held {
        plugin: from.0,
        gate: None,
        of: 1,
    };
    let gate = match needs {
        Needs::Handled => TOPIC,
        _ => "g",
    };
    WaitToBroker::Waiting {
        wait,
        chain: 10 * wait + from.0,
        callee: callee.0,
        gate: gate.into(),
        needs,
        holds: vec![turn],
        serves: Vec::new(),
    }
}

impl World {
    /// Has all plugins that are asked confirm that their waits stand, and returns them.
    fn all_confirmed(&mut self) -> Vec<(PluginId, u64)> {
        let effects = self.effects().into_iter();
        let asked = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Wait(WaitToPlugin::Confirm { wait, round })) => {
                Some((to, wait, round))
            }
            _ => None,
        });
        let mut asked: Vec<_> = asked.collect();
        asked.sort();
        for (plugin, wait, round) in asked.iter().copied() {
            self.ok(plugin, WaitToBroker::Confirmed { wait, round });
        }
        asked.into_iter().map(|(to, wait, _)| (to, wait)).collect()
    }

    /// The waits that were ended, with the messages.
    fn told_in_vain(&mut self) -> Vec<(PluginId, u64, String)> {
        let effects = self.effects().into_iter();
        let ended = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Wait(WaitToPlugin::Deadlock { wait, failure })) => {
                Some((to, wait, failure.message))
            }
            _ => None,
        });
        ended.collect()
    }

    /// A world in which B can call A.
    fn with_link() -> World {
        let mut world = World::events();
        world.provide(A, "g");
        world.open(B, 1, "g");
        world.obedient();
        world.ok(A, offer_topic(TOPIC));
        world.effects();
        world
    }
}

/// The plugin that sends is told, whichever began to wait last: no call fails because of an event.
#[test]
fn a_sender_that_waits_for_who_waits_for_it_is_told() {
    for sends_first in [true, false] {
        let mut world = World::with_link();
        world.hears(B, 1, TOPIC);
        let sends = (A, waiting(7, (A, B), Needs::Handled));
        let calls = (B, waiting(9, (B, A), Needs::Answer { call: 9 }));
        let both = match sends_first {
            true => [sends, calls],
            false => [calls, sends],
        };
        for (from, record) in both {
            assert_eq!(world.all_confirmed(), []);
            world.ok(from, record);
        }
        assert_eq!(world.all_confirmed(), [(A, 7), (B, 9)]);
        let ended = world.told_in_vain();
        let [(A, 7, text)] = &ended[..] else {
            panic!("{ended:?}");
        };
        let begins = "plugin `a` waits until plugin `b` has handled events of `weather`, which waits for `g` of plugin `a`";
        assert!(text.starts_with(begins), "{text}");
    }
}

/// A plugin could claim to wait for a plugin with which it has nothing to do.
#[test]
fn a_wait_for_who_does_not_listen_is_ignored() {
    let mut world = World::with_link();
    world.ok(A, waiting(7, (A, B), Needs::Handled));
    world.ok(B, waiting(9, (B, A), Needs::Answer { call: 9 }));
    assert_eq!(world.all_confirmed(), []);
    // B now hears another source.
    world.ok(C, offer_topic("other"));
    world.hears(B, 1, "other");
    world.ok(A, waiting(8, (A, B), Needs::Handled));
    assert_eq!(world.all_confirmed(), []);
}
