//! How many slots calls that begin chains may have, and whether callers wait in them.

use std::sync::Arc;

use callgate_layout::pending::Pending;
use loom::thread;

use crate::bench::{Link, Provider, Without, check, geometry};

/// How many of two threads get a slot for a call of these gates, where calls of gates 0 and 1 have some.
fn of_two(taken: [u16; 2], gates: [u16; 2]) -> usize {
    let pending = Arc::new(Pending::new(geometry(8)));
    for (gate, count) in (0..).zip(taken) {
        assert!((0..count).all(|_| pending.take_for(gate).is_some()));
    }
    let threads = gates.map(|gate| {
        let pending = pending.clone();
        thread::spawn(move || pending.take_for(gate).is_some())
    });
    let got = threads.map(|thread| thread.join().unwrap());
    got.into_iter().filter(|got| *got).count()
}

/// A gate with one slot less than half of the eight gets one more, whoever takes it.
#[test]
fn a_gate_has_half_of_the_slots() {
    check(None, || assert_eq!(of_two([3, 2], [0, 0]), 1));
}

/// One slot less than three quarters are taken: one of two other gates gets it, and chains find the rest.
#[test]
fn a_quarter_of_the_slots_is_left_to_chains() {
    check(None, || assert_eq!(of_two([3, 2], [2, 3]), 1));
}

/// Two slots: one is of a call that was given up and answered since, the other of a call whose caller waits, until that
/// caller has the first slot again.
fn one_caller_always_waits() {
    let link = Link::new(2, Without::Nothing);
    let given_up = link.take_in_chain(0);
    link.publish(given_up, 1);
    link.abandon(given_up);
    let mut provider = Provider::new(&link);
    let call = provider.take();
    provider.answer(call);
    let first = link.take_in_chain(0);
    let looks = thread::spawn({
        let link = link.clone();
        move || assert!(!link.pending.is_left(), "a caller waits")
    });
    link.sweep();
    let second = link.take_in_chain(0);
    assert_eq!(second.slot, given_up.slot);
    link.finish(first);
    looks.join().unwrap();
}

/// PENDING-FREED, who looks for callers: a plugin would end while a call of its own waits for its answer.
#[test]
fn a_slot_is_not_seen_taken_again_and_still_abandoned() {
    check(None, one_caller_always_waits);
}
