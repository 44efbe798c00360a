//! Waits that end while others stand.

use super::super::*;
use super::schedules::begin;
use super::units::{asked, decisions, hold, id, permit, turn, wait};

/// How a wait of plugin 7 ends.
const ENDS: [fn(&mut Waits); 2] = [
    |waits| waits.end(id(7, 1)),
    |waits| waits.remove(PluginId(7)),
];

/// A wait of a chain was over, and the broker heard that late: until then it took the permit that this wait had held for
/// one on top of which the chain's next call would be served. So it found no circle when the last wait of one
/// was reported, and did not look when it heard of the end: both stood still until a deadline passed.
#[test]
fn a_circle_is_found_when_a_permit_that_its_chain_held_is_given_back() {
    for end in ENDS {
        let mut waits = Waits::default();
        let calls = Wait {
            needs: vec![turn(2), permit(2)],
            ..wait(1, 2)
        };
        let handles = |chain| Wait {
            chain,
            holds: vec![hold(turn(2), 3), hold(permit(2), 1)],
            ..wait(2, 1)
        };
        begin(&mut waits, id(1, 1), calls);
        begin(&mut waits, id(7, 1), handles(1));
        begin(&mut waits, id(2, 1), handles(6));
        assert_eq!(decisions(&mut waits), [], "nobody stands still yet");
        end(&mut waits);
        assert_eq!(asked(&decisions(&mut waits)).0, [id(1, 1), id(2, 1)]);
    }
}

/// How much there is of a resource was known to be less when the holder that had said most ended, or the one that
/// had calls to be answered later; and nobody looked.
#[test]
fn a_circle_is_found_when_it_is_known_that_there_is_less() {
    for (of, end) in [(0, ENDS[0]), (0, ENDS[1]), (2, ENDS[0]), (2, ENDS[1])] {
        let mut waits = Waits::default();
        let said = Wait {
            chain: 5,
            holds: vec![hold(turn(2), of)],
            ..wait(2, 9)
        };
        begin(&mut waits, id(7, 1), said);
        begin(&mut waits, id(2, 1), wait(2, 1));
        begin(&mut waits, id(1, 1), wait(1, 2));
        assert_eq!(decisions(&mut waits), [], "nobody stands still yet: {of}");
        end(&mut waits);
        let (asked, _) = asked(&decisions(&mut waits));
        assert_eq!(asked, [id(1, 1), id(2, 1)], "{of}");
    }
}

/// One that does not answer counts no longer, and the circle that it hid is found.
#[test]
fn a_circle_is_found_when_a_wait_is_left_out() {
    let mut waits = Waits::default();
    let hides = Wait {
        holds: vec![hold(turn(7), 1), hold(turn(2), 0)],
        ..wait(7, 8)
    };
    begin(&mut waits, id(7, 1), hides);
    begin(&mut waits, id(8, 1), wait(8, 7));
    let (members, round) = asked(&decisions(&mut waits));
    assert_eq!(members, [id(7, 1), id(8, 1)]);
    begin(&mut waits, id(2, 1), wait(2, 1));
    begin(&mut waits, id(1, 1), wait(1, 2));
    assert_eq!(decisions(&mut waits), [], "nobody stands still yet");
    waits.late(round);
    assert_eq!(asked(&decisions(&mut waits)).0, [id(1, 1), id(2, 1)]);
}

/// A plugin that ends many waits at once would have the broker look for each of them, and each thing that it held, at
/// all who hold the same: a hundred thousand times.
#[test]
fn ends_that_come_together_make_one_look_for_each_thing_that_is_held() {
    let mut waits = Waits::default();
    for number in 0..1000 {
        let holds = (0..126).map(|other| hold(turn(1000 + other), 1));
        let in_turns = Wait {
            chain: 1000 + number,
            holds: holds.collect(),
            ..wait(1, 2)
        };
        begin(&mut waits, id(1, number), in_turns);
    }
    assert_eq!(decisions(&mut waits), []);
    (0..900).for_each(|number| waits.end(id(1, number)));
    let costs: Vec<usize> = std::iter::from_fn(|| waits.work()).collect();
    assert_eq!(costs.len(), 126);
    assert!(costs.iter().all(|cost| *cost <= 2 * MOST), "{costs:?}");
}

/// A thread of a pool that goes on leaves a free one: nobody is blocked by the others, and no look is made.
#[test]
fn nothing_is_looked_at_where_one_of_a_pool_goes_on() {
    let mut waits = Waits::default();
    for number in 0..10 {
        let in_pool = Wait {
            chain: number,
            holds: vec![hold(turn(2), 10)],
            ..wait(2, 1)
        };
        begin(&mut waits, id(2, number), in_pool);
    }
    begin(&mut waits, id(1, 1), wait(1, 3));
    assert_eq!(decisions(&mut waits), []);
    waits.end(id(2, 4));
    assert!(!waits.has_work());
}
