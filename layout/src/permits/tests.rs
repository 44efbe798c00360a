//! Permits on one thread.

use super::*;

const NOBODY: Waiting = Waiting {
    visitors: false,
    queue: false,
};

const ME: u64 = 5;

fn permit(entry: Entry) -> u8 {
    match entry {
        Entry::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_are_as_many_as_the_limit_says() {
    for limit in [1, 2, MOST] {
        let permits = Permits::new(limit);
        let taken: Vec<_> = (0..u64::from(limit))
            .map(|chain| permit(permits.take(chain + 1, Asks::First, || ME)))
            .collect();
        assert_eq!(permits.take(99, Asks::First, || ME), Entry::Full);
        assert!(!permits.could_take(99, Asks::Chain));
        for one in taken {
            assert_eq!(permits.end(one), NOBODY);
            assert_eq!(permit(permits.take(100, Asks::First, || ME)), one);
        }
    }
    assert_eq!(
        (Permits::new(0).limit(), Permits::new(99).limit()),
        (1, MOST)
    );
}

/// A limit that is lowered holds for the calls after it, whichever permits are taken.
#[test]
fn a_limit_may_change_while_permits_are_taken() {
    let permits = Permits::new(3);
    let [first, second, third] = [1, 2, 3].map(|n| permit(permits.take(n, Asks::First, || ME)));
    permits.set_limit(1);
    for one in [first, second] {
        permits.end(one);
        assert_eq!(permits.take(9, Asks::First, || ME), Entry::Full);
    }
    permits.end(third);
    permit(permits.take(9, Asks::First, || ME));
    permits.set_limit(2);
    permit(permits.take(9, Asks::First, || ME));
}

/// A → B → A stood still where the second call of A waited for the first.
#[test]
fn a_chain_that_is_inside_comes_in_again_and_another_waits() {
    let permits = Permits::new(1);
    let outer = permit(permits.take(7, Asks::First, || ME));
    assert_eq!(permits.take(7, Asks::Chain, || ME), Entry::Inside);
    assert!(permits.could_take(7, Asks::Chain));
    assert_eq!(permits.take(8, Asks::Chain, || ME), Entry::Full);
    permits.end(outer);
    assert!(!permits.is_inside(7));
    permit(permits.take(8, Asks::Chain, || ME));
}

/// A permit that was kept for a late answer seemed to be kept by a thread that had gone on.
#[test]
fn a_thread_has_what_its_handlers_have() {
    let permits = Permits::new(2);
    let first = permit(permits.take(1, Asks::First, || 5));
    let second = permit(permits.take(2, Asks::First, || 6));
    assert!(permits.is_held_by(5) && permits.is_held_by(6) && !permits.is_held_by(7));
    permits.leave(first);
    assert!(!permits.is_held_by(5) && permits.is_inside(1));
    assert_eq!(permits.take(3, Asks::First, || 7), Entry::Full);
    permits.end(second);
    assert!(!permits.is_held_by(6));
}

#[test]
fn who_comes_first_does_not_overtake_who_waits_but_a_chain_does() {
    let permits = Permits::new(1);
    let outer = permit(permits.take(1, Asks::First, || ME));
    permits.queue();
    assert!(permits.end(outer).queue);
    assert_eq!(permits.take(2, Asks::First, || ME), Entry::Full);
    let inner = permit(permits.take(3, Asks::Chain, || ME));
    permits.end(inner);
    let queued = permit(permits.take(1, Asks::Queue, || ME));
    permits.unqueue();
    assert_eq!(permits.end(queued), NOBODY);
    permit(permits.take(2, Asks::First, || ME));
}

/// The dispatcher, which looks at once after it gave a permit back, left none to visitors.
#[test]
fn queue_and_visitors_go_by_turns() {
    let permits = Permits::new(1);
    permits.queue();
    let attempt = || {
        let first = permit(permits.take(1, Asks::Queue, || ME));
        assert!(permits.end(first).visitors);
        assert_eq!(permits.take(2, Asks::Queue, || ME), Entry::Full);
        assert!(!permits.could_take(2, Asks::Queue));
        let visit = permit(permits.take(3, Asks::Visitor, || ME));
        permits.end(visit);
        Some(permit(permits.take(2, Asks::Queue, || ME)))
    };
    let (second, tell) = permits.wait_for(attempt, |_| false);
    assert!(tell, "the queue may have left one to a visitor");
    // Nobody is left to leave one to.
    permits.end(second.unwrap());
    permit(permits.take(4, Asks::Queue, || ME));
}

/// The next permit was kept for a visitor, and was so still after one from inside a chain had had it: as long as
/// such visitors waited, the queue got none.
#[test]
fn a_visitor_from_inside_a_chain_has_its_turn_like_others() {
    let permits = Permits::new(1);
    permits.queue();
    let attempt = || {
        let first = permit(permits.take(1, Asks::Queue, || ME));
        permits.end(first);
        assert_eq!(permits.take(2, Asks::Queue, || ME), Entry::Full);
        let visit = permit(permits.take(3, Asks::ChainVisitor, || ME));
        permits.end(visit);
        Some(permits.take(2, Asks::Queue, || ME))
    };
    let (second, _) = permits.wait_for(attempt, |_| false);
    permit(second.expect("it was tried"));
}
