//! A caller that breaks the rules towards a provider that answers later.

use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::envelope::Place;
use callgate_tests::PATIENCE;
use callgate_tests::random::Random;
use callgate_tests::raw::{Link, Raw};

use crate::scene::Scene;
use crate::words::{Entry, answer};

fn villain(scene: &Scene, name: &str) -> (Raw, Link, u16) {
    let mut raw = Raw::join(&scene.bus, name);
    let (link, index) = raw.link_to::<(u64, u64), u64>("anvil.Hold");
    (raw, link, index)
}

/// Makes the provider answer the calls that it holds from now on; returns how many it held.
fn let_go(scene: &mut Scene) -> u64 {
    scene.ask("anvil.LetGo", PATIENCE);
    let outcome = Scene::outcome(&scene.honest.expect_line(), PATIENCE);
    outcome.parse().expect("a number")
}

/// Waits until the provider holds so many more calls, and makes it answer them.
fn let_go_of(scene: &mut Scene, mut count: u64) {
    while count > 0 {
        count -= let_go(scene);
    }
}

/// A caller that names a slot again before its call is answered loses the link: two answers would otherwise get into
/// one place.
#[test]
fn a_slot_whose_answer_is_left_for_later_cannot_be_named_again() {
    let mut scene = Scene::new();
    for (number, slots) in [[0, 0], [63, 63]].into_iter().enumerate() {
        let (mut raw, link, index) = villain(&scene, &format!("villain-{number}"));
        for (sequence, slot) in (1..).zip(slots) {
            let entry = Entry::add(sequence, index);
            Entry { slot, ..entry }.write(&link);
        }
        let (code, message) = raw.gone(link.end);
        assert_eq!(code, Code::Protocol, "{message}");
        scene.is_well();
    }
    // Their held calls are answered to nobody.
    let_go_of(&mut scene, 2);
    scene.end();
}

/// A provider that still holds a call does not keep the memory of a link whose caller is gone.
#[test]
fn a_call_that_is_held_does_not_hold_its_link() {
    let scene = Scene::new();
    let (raw, link, index) = villain(&scene, "villain");
    (1..=3_u8).for_each(|n| {
        let entry = Entry::add(u32::from(n), index);
        Entry { slot: n, ..entry }.write(&link);
    });
    // By now the provider holds all of them, or nearly all.
    std::thread::sleep(Duration::from_millis(100));
    drop((link, raw));
    scene.end();
}

/// As soon as a call is answered later, its slot can be used again. The next answer in that slot frees the blocks of
/// the last one, although the caller never released them.
#[test]
fn a_slot_can_be_named_again_as_soon_as_its_call_is_answered() {
    let mut scene = Scene::new();
    let (mut raw, link, index) = villain(&scene, "villain");
    let zeros = raw.route_to::<(u32,), Vec<u8>>("anvil.HoldZeros");
    assert_eq!(zeros.end, link.end);
    // Larger than half of the payload blocks: the next answer has no space unless this one's is free.
    const LENGTH: u64 = 40_000;
    for round in 0..4 {
        Entry::add(2 * round + 1, index).write(&link);
        let_go_of(&mut scene, 1);
        let (reply, cell) = answer(&link, 0, 2 * round + 1);
        assert!(reply.ok && cell.inline()[0] == 42);
        let large = Entry {
            gate: zeros.index,
            length: 4,
            payload: [LENGTH, 0],
            ..Entry::add(2 * round + 2, index)
        };
        large.write(&link);
        let_go_of(&mut scene, 1);
        let (reply, _) = answer(&link, 0, 2 * round + 2);
        assert!(reply.ok && reply.length == LENGTH as u32);
        assert!(matches!(reply.place, Place::Blocks { .. }), "{reply:?}");
    }
    drop((link, raw));
    scene.end();
}

/// A slot that is named again while another thread answers its call: the caller may get one answer or the other, and
/// no other caller is affected.
#[test]
fn a_slot_that_is_named_again_while_it_is_answered_hurts_its_caller_alone() {
    let mut scene = Scene::new();
    let mut random = Random::new("named while it is answered");
    for round in 0..12 {
        let (mut raw, link, index) = villain(&scene, &format!("villain-{round}"));
        let zeros = raw.route_to::<(u32,), Vec<u8>>("anvil.HoldZeros");
        for slot in 0..32 {
            let large = Entry {
                gate: zeros.index,
                length: 4,
                payload: [random.below(3_000) as u64 + 1, 0],
                slot,
                ..Entry::add(u32::from(slot) + 1, index)
            };
            large.write(&link);
        }
        scene.ask("anvil.LetGo", PATIENCE);
        for slot in 0..32 {
            random.pause(1);
            let entry = Entry::add(u32::from(slot) + 33, index);
            Entry { slot, ..entry }.write(&link);
        }
        scene.honest.expect_line();
        drop((link, raw));
        scene.is_well();
    }
    let_go(&mut scene);
    scene.end();
}
