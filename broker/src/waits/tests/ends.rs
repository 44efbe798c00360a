//! Waits that end while others stand still.

use proptest::prelude::*;

use super::super::suspects::Suspects;
use super::super::*;
use super::property::cases;
use super::schedules::begin;
use super::units::{asked, decisions, hold, id, permit, turn, wait};

/// The ways in which a wait of plugin 7 ends.
const ENDS: [fn(&mut Waits); 2] = [
    |waits| waits.end(id(7, 1)),
    |waits| waits.remove(PluginId(7)),
];

/// The broker heard late that a wait of a chain was over. Until then, the permit that this wait had held counted as free for the chain's
/// next call, which would be served on top of the wait. So the broker found no circle when the circle's last wait was reported, and did not
/// look again when it heard of the end: both waits stood still until a deadline passed.
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

/// When a holder ended that had said most about how much there is of a resource, or one that had calls to be answered later, less was known
/// to be there; and the broker did not look again.
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

/// As many waits as a look that begins with a new wait visits.
#[test]
fn a_circle_of_many_is_found_when_one_ends() {
    let mut waits = Waits::default();
    let count = MOST as u64 - 10;
    let threads = |chain, of| Wait {
        chain,
        holds: vec![hold(turn(2), of)],
        ..wait(2, 1)
    };
    for number in 0..count {
        let of = count as u32;
        begin(&mut waits, id(2, number), threads(100 + number, of));
    }
    begin(&mut waits, id(7, 1), threads(5, 2 * MOST as u32));
    assert_eq!(decisions(&mut waits), []);
    begin(&mut waits, id(1, 1), wait(1, 2));
    assert_eq!(decisions(&mut waits), [], "nobody stands still yet");
    waits.end(id(7, 1));
    assert_eq!(asked(&decisions(&mut waits)).0.len() as u64, count + 1);
}

/// The circle goes through a wait that is being asked because of another circle.
#[test]
fn a_circle_that_an_end_closes_behind_a_round_is_looked_at_when_that_is_over() {
    let mut waits = Waits::default();
    let calls = Wait {
        needs: vec![turn(2), turn(3)],
        ..wait(1, 2)
    };
    let free = Wait {
        chain: 1,
        ..wait(3, 9)
    };
    begin(&mut waits, id(1, 1), calls);
    begin(&mut waits, id(7, 1), free);
    begin(&mut waits, id(3, 1), wait(3, 1));
    assert_eq!(decisions(&mut waits), [], "nobody stands still yet");
    begin(&mut waits, id(2, 1), wait(2, 1));
    assert_eq!(asked(&decisions(&mut waits)).0, [id(1, 1), id(2, 1)]);
    waits.end(id(7, 1));
    assert_eq!(decisions(&mut waits), [], "one of them is being asked");
    waits.end(id(2, 1));
    assert_eq!(asked(&decisions(&mut waits)).0, [id(1, 1), id(3, 1)]);
}

/// A wait whose plugin does not answer no longer counts, and the circle that it hid is found.
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

/// A plugin that ends many waits at once must not have the broker look, for each of them and for each resource that it held, at all who
/// hold the same: a hundred thousand times.
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

/// A thread of a pool that goes on leaves one thread free: nobody is blocked by the others, and no look is made.
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

/// Something that happens to the graph.
#[derive(Clone, Debug)]
enum Event {
    /// A wait of this chain begins. It needs some resources and holds others, with how many there are of each.
    Begin(u64, Vec<usize>, Vec<(usize, u32)>),
    /// One of the waits ends.
    End(usize),
    /// One of the waits that are asked about is confirmed.
    Confirm(usize),
    /// The first round that is under way is late.
    Late,
}

fn event() -> impl Strategy<Value = Event> {
    let needs = prop::collection::vec(0..6usize, 1..3);
    let holds = prop::collection::vec((0..6usize, 0..4u32), 1..4);
    prop_oneof![
        4 => (0..5u64, needs, holds).prop_map(|(chain, needs, holds)| Event::Begin(chain, needs, holds)),
        2 => any::<usize>().prop_map(Event::End),
        2 => any::<usize>().prop_map(Event::Confirm),
        1 => Just(Event::Late),
    ]
}

fn resource(number: usize) -> Resource {
    let plugin = number as u64 / 2;
    [turn(plugin), permit(plugin)][number % 2].clone()
}

fn happens(waits: &mut Waits, number: u64, event: Event) {
    let pick = |all: Vec<WaitId>, pick: usize| (!all.is_empty()).then(|| all[pick % all.len()]);
    match event {
        Event::Begin(chain, needs, holds) => {
            let holds = holds.into_iter().map(|(what, of)| hold(resource(what), of));
            let new = Wait {
                chain,
                needs: needs.into_iter().map(resource).collect(),
                holds: holds.collect(),
                ..wait(1, 2)
            };
            begin(waits, id(1, number), new);
        }
        Event::End(at) => {
            let over = pick(waits.waits.keys().copied().collect(), at);
            over.into_iter().for_each(|id| waits.end(id));
        }
        Event::Confirm(at) => {
            let asked = waits.waits.iter().filter(|(_, wait)| wait.asked.is_some());
            let stands = pick(asked.map(|(id, _)| *id).collect(), at);
            if let Some((id, Some(round))) = stands.map(|id| (id, waits.waits[&id].asked)) {
                waits.confirm(id, round);
            }
        }
        Event::Late => {
            let first = waits.rounds.keys().next().copied();
            first.into_iter().for_each(|round| waits.late(round));
        }
    }
}

/// Confirms all waits that are asked about, until none is.
fn answer_all(waits: &mut Waits) {
    loop {
        while waits.work().is_some() {}
        let mut all = waits.waits.iter();
        let asked = all.find_map(|(id, wait)| Some((*id, wait.asked?)));
        let Some((id, round)) = asked else {
            return;
        };
        waits.confirm(id, round);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// In whatever order waits begin and end: when all looks are made and all questions answered, no wait stands still.
    #[test]
    fn who_stands_still_is_looked_at(events in prop::collection::vec(event(), 1..40)) {
        let mut waits = Waits::default();
        for (number, event) in (0..).zip(events) {
            happens(&mut waits, number, event);
            while waits.work().is_some() {}
        }
        answer_all(&mut waits);
        for id in waits.waits.keys() {
            let around = Suspects::around(&waits, &Start::Wait(*id));
            prop_assert!(!around.has(*id), "{id:?} {waits:?}");
        }
    }
}
