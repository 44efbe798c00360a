//! Turns without threads: one number after the other plays them.

use std::cell::Cell;

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
    let (seen, woken) = (turns.seen(), Cell::new(None));
    turns.tell(|| woken.set(Some(turns.seen())));
    assert_eq!(woken.get(), Some(seen.wrapping_add(1)));
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
    assert!(turns.cancel_reservation(8) && !turns.cancel_reservation(8));
    assert!(turns.visit(ONE, 7).is_some());
}

/// A dispatcher under load took the turn lock again at once, and callers in its process starved.
#[test]
fn a_dispatcher_that_offers_waits_until_nobody_wants_it() {
    let turns = Turns::default();
    let turn = turns.begin(ONE, || 8).unwrap();
    let _ = turns.end(turn);
    assert!(turns.visit(TWO, 9).is_none());
    turns.begin_wanting();
    assert!(turns.offer());
    assert!(turns.begin(ONE, || 8).is_none());
    let visit = turns.visit(TWO, 9).unwrap();
    turns.end_wanting();
    assert!(turns.begin(ONE, || 8).is_none());
    let _ = turns.end(visit);
    assert!(turns.begin(ONE, || 8).is_some());
}

/// Ends a turn as who holds it does.
fn end(turns: &Turns, turn: Turn) {
    if turns.end(turn) {
        turns.tell(|| {});
    }
}

/// Who came again and again took the turn before a visitor had woken up.
#[test]
fn a_visitor_that_has_waited_through_a_turn_goes_next() {
    let turns = Turns::default();
    let mut other = turns.visit(ONE, 7);
    let (mut again, mut told) = (Vec::new(), Vec::new());
    let sleep = |seen| {
        told.push(seen == turns.seen() && turns.is_wanted());
        end(&turns, other.take().unwrap());
        other = turns.visit(ONE, 7);
        again.push(other.is_some());
    };
    let (turn, is_awaited) = turns.visit_until((TWO, 9), || false, sleep);
    assert_eq!((again, told), (vec![true, false], vec![true; 2]));
    assert!(!is_awaited && !turns.is_wanted());
    end(&turns, turn.unwrap());
    assert!(turns.visit(ONE, 7).is_some(), "the reservation was used");
}

/// The dispatcher waits until nobody wants a turn any more.
#[test]
fn a_visitor_that_gives_up_tells() {
    let turns = Turns::default();
    let other = turns.visit(ONE, 7).unwrap();
    let sleep = |_| end(&turns, turns.visit(ONE, 7).unwrap());
    let mut looks = [false, true].into_iter();
    let (turn, is_awaited) = turns.visit_until((TWO, 9), || looks.next().unwrap(), sleep);
    assert!(turn.is_none() && is_awaited && !turns.is_wanted());
    end(&turns, other);
    assert!(
        turns.visit(ONE, 7).is_some(),
        "the reservation is cancelled"
    );
}

#[test]
fn a_lender_sleeps_only_while_somebody_has_what_it_lent() {
    let turns = Turns::default();
    let outer = turns.visit(ONE, 7).unwrap();
    let (lent, _) = turns.begin_lending(ONE, 7).unwrap();
    let mut borrowed = turns.visit(ONE, 8);
    assert!(!turns.end_lending(lent, 7));
    turns.await_return(lent, |seen| {
        end(&turns, borrowed.take().unwrap());
        assert_eq!(turns.seen(), seen.wrapping_add(1));
    });
    turns.await_return(lent, |_| panic!("it is back"));
    assert!(borrowed.is_none() && turns.end_lending(lent, 7));
    assert!(!turns.end(outer), "nobody is counted any more");
}

/// A dispatcher that is played, and a visitor that comes three times.
struct Played<'a> {
    turns: &'a Turns,
    work: u32,
    visitor: Option<Turn>,
    next: Then,
    /// What has happened: `s` for a look that serves, `z` for a sleep, `v` for another visit, `r` for a run.
    log: String,
}

impl Dispatching for Played<'_> {
    fn has_work(&mut self) -> bool {
        self.work > 0
    }

    fn serve(&mut self, holder: u64, is_over: impl Fn() -> bool) -> Then {
        assert_eq!((holder, is_over()), (ONE, false));
        self.log.push('s');
        self.next
    }

    fn sleep(&mut self, _: u64, watch: &Watch<'_>) {
        self.log.push('z');
        assert!(watch.is_unchanged());
        end(self.turns, self.visitor.take().expect("it visits"));
        assert!(!watch.is_unchanged());
        let is_patient = self.log.matches('v').count() < 2;
        self.visitor = is_patient.then(|| self.turns.visit(ONE, 7)).flatten();
        self.log.extend(self.visitor.as_ref().map(|_| 'v'));
    }

    fn run(&mut self) {
        self.log.push('r');
        if self.work > 0 {
            let turn = self.turns.begin(TWO, || 8);
            end(self.turns, turn.expect("it is free"));
        }
    }
}

fn play(work: u32, next: Then) -> String {
    let turns = Turns::default();
    let mut played = Played {
        turns: &turns,
        work,
        visitor: turns.visit(ONE, 7),
        next,
        log: String::new(),
    };
    let is_awaited = turns.await_turn(8, &mut played);
    assert!(!is_awaited, "nobody waits");
    let Played { visitor, log, .. } = played;
    if let Some(turn) = visitor {
        end(&turns, turn);
    }
    let _ = turns.release();
    assert!(turns.visit(ONE, 7).is_some(), "nothing is reserved");
    log
}

/// A visitor that came again and again took the turn before the dispatcher had woken up.
#[test]
fn a_dispatcher_that_has_waited_through_a_turn_goes_next() {
    assert_eq!(play(1, Then::Sleep), "szvszr");
    assert_eq!(play(1, Then::Stop), "s");
    // Without anything to run it reserves nothing, and the visitor goes on.
    assert_eq!(play(0, Then::Sleep), "szvszvszr");
}

/// A call of a re-entrant gate ran beside a handler that did not wait, or the chain's own beside it.
#[test]
fn another_chain_gets_a_turn_on_top_of_one_that_is_lent() {
    let turns = Turns::default();
    assert!(turns.visit_on_top(9).is_none(), "it is free");
    let outer = turns.visit(ONE, 7).unwrap();
    assert!(turns.visit_on_top(9).is_none(), "its thread runs");
    let (lent, _) = turns.begin_lending(ONE, 7).unwrap();
    let before = turns.guests();
    let guest = turns.visit_on_top(9).unwrap();
    assert_eq!(turns.guests(), before + 1);
    assert!(turns.visit(ONE, 8).is_none() && turns.visit_on_top(8).is_none());
    assert!(
        turns.begin_lending(TWO, 9).is_none(),
        "it is no turn of its chain"
    );
    assert!(!turns.end_lending(lent, 7), "somebody has it");
    let _ = turns.end(guest);
    assert_eq!(turns.guests(), before + 2);
    // Who wants it back is not overtaken.
    assert!(turns.visit_on_top(9).is_none());
    assert!(turns.end_lending(lent, 7));
    let _ = turns.end(outer);
    assert!(turns.visit(TWO, 9).is_some());
}

/// A visitor of a re-entrant gate went on sleeping when the turn that it waited for was lent.
#[test]
fn who_waits_for_a_turn_on_top_gets_one_that_is_lent_meanwhile() {
    let turns = Turns::default();
    let outer = turns.visit(ONE, 7).unwrap();
    let mut sleeps = 0;
    let sleep = |_| {
        sleeps += 1;
        assert!(turns.begin_lending(ONE, 7).is_some());
    };
    let (guest, is_awaited) = turns.visit_on_top_until((TWO, 9), || false, sleep);
    assert!(guest.is_some() && !is_awaited);
    let _ = turns.end(guest.unwrap());
    assert_eq!(sleeps, 1);
    let _ = outer;
}
