//! How many slots calls that begin chains may have.

use std::sync::Arc;

use callgate_layout::pending::Pending;
use loom::thread;

use crate::bench::{check, geometry};

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
