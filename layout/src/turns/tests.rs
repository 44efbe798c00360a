//! Turns without threads: one number after the other plays them.

use super::*;

const ONE: u64 = 1 << 63 | 1;
const TWO: u64 = 1 << 63 | 2;

/// A handler that had given a call up went on, and what it had called was let in beside it.
#[test]
fn only_a_handler_that_waits_lets_its_chain_in() {
    let turns = Turns::default();
    let outer = turns.visit(ONE, 7).unwrap();
    // The same thread is on top of its own handler.
    let inner = turns.visit(ONE, 7).unwrap();
    let _ = turns.end(inner);
    assert!(turns.begin(ONE, || 8).is_none());
    let (lent, _) = turns.begin_lending(ONE, 7).unwrap();
    assert!(turns.begin(TWO, || 8).is_none());
    let inner = turns.begin(ONE, || 8).unwrap();
    assert!(turns.visit(ONE, 9).is_none());
    // The lender waits until it has its turn back, and nobody follows.
    assert!(!turns.end_lending(lent, 7));
    let (lent_on, _) = turns.begin_lending(ONE, 8).unwrap();
    assert!(!turns.end_lending(lent, 7));
    assert!(turns.end_lending(lent_on, 8));
    let _ = turns.end(inner);
    assert!(turns.begin(ONE, || 8).is_none());
    assert!(turns.end_lending(lent, 7));
    assert!(turns.begin(ONE, || 8).is_none());
    let _ = turns.end(outer);
    let other = turns.begin(TWO, || 8).unwrap();
    let _ = turns.end(other);
}

/// Whoever looks is told whose turn it is: who is to wait, and for whom.
#[test]
fn a_token_belongs_to_whose_turn_it_is() {
    let turns = Turns::default();
    assert_eq!((turns.belongs_to(ONE), turns.holder(|| 8)), (false, None));
    let turn = turns.visit(ONE, 7).unwrap();
    assert!(turns.belongs_to(ONE) && !turns.belongs_to(TWO));
    assert_eq!(turns.holder(|| 8), Some(ONE));
    assert!(turns.could_begin(ONE, 7), "on top of its own handler");
    assert!(!turns.could_begin(ONE, 8) && !turns.could_begin(TWO, 8));
    let (lent, _) = turns.begin_lending(ONE, 7).unwrap();
    assert!(turns.could_begin(ONE, 8) && !turns.could_begin(TWO, 8));
    assert!(turns.is_back(lent) && turns.end_lending(lent, 7));
    let _ = turns.end(turn);
    assert!(!turns.belongs_to(ONE) && turns.could_begin(TWO, 8));
}

/// Who sleeps is woken by what it waits for, and nobody makes a system call where nobody sleeps.
#[test]
fn those_who_wait_are_to_be_told() {
    let turns = Turns::default();
    let turn = turns.visit(ONE, 7).unwrap();
    assert!(!turns.end(turn), "nobody waits");
    let turn = turns.begin(ONE, || 8).unwrap();
    assert!(!turns.end(turn) && !turns.offer(), "nobody wants a turn");
    turns.begin_wanting();
    assert!(turns.is_wanted() && turns.offer());
    assert_eq!(turns.holder(|| 8), Some(OFFERED), "visitors go first");
    let turn = turns.visit(TWO, 9).unwrap();
    assert!(turns.end(turn));
    turns.end_wanting();
    assert!(!turns.is_wanted());
    turns.begin_waiting();
    let turn = turns.begin(ONE, || 8).unwrap();
    let _ = turns.end(turn);
    assert!(turns.release());
    assert!(!turns.release(), "it was let go before");
    turns.end_waiting();
    let turn = turns.visit(TWO, 9).unwrap();
    assert!(!turns.end(turn));
    let seen = turns.seen();
    turns.change();
    assert_eq!(turns.seen(), seen.wrapping_add(1));
}

/// Who came again and again took the turn before anybody else had woken up.
#[test]
fn who_has_waited_goes_next() {
    let turns = Turns::default();
    let turn = turns.visit(ONE, 7).unwrap();
    turns.reserve(8);
    turns.reserve(9);
    let _ = turns.end(turn);
    assert!(turns.visit(ONE, 7).is_none());
    assert!(turns.holder(|| 7).is_some());
    assert!(turns.holder(|| 8).is_none());
    let turn = turns.begin(TWO, || 8).unwrap();
    let _ = turns.end(turn);
    let _ = turns.release();
    let turn = turns.visit(ONE, 7).unwrap();
    turns.reserve(8);
    let _ = turns.end(turn);
    let _ = turns.cancel_reservation(8);
    assert!(turns.visit(ONE, 7).is_some());
}
