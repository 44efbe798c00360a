//! Chains that cross.

use std::time::{Duration, Instant};

use callgate_tests::PATIENCE;
use callgate_tests::crossing::Crossed;
use callgate_tests::random::Random;

use crate::rings::{Kind, MODES, PLACES, Place, Ring};

/// Of the calls of a ring, those that were told that they wait in vain.
fn told(outcomes: &[Crossed]) -> Vec<&Crossed> {
    let is_it = |(outcome, _): &&Crossed| outcome.starts_with("DEADLOCK");
    outcomes.iter().filter(is_it).collect()
}

/// Crosses the chains of a ring: one call is told, with the names, and the others succeed; long before any
/// deadline. None is told where one of the plugins never stands still. How long it took until that one was told.
fn check(ring: &mut Ring, kinds: &[Kind]) -> Duration {
    let start = Instant::now();
    let outcomes = ring.cross();
    let took = start.elapsed();
    let told = told(&outcomes);
    if kinds.iter().any(|kind| kind.never_stands_still()) {
        assert!(told.is_empty(), "{kinds:?}: {outcomes:?}");
        return took;
    }
    assert_eq!(told.len(), 1, "{kinds:?}: {outcomes:?}");
    let (text, micros) = told[0];
    for n in 0..kinds.len() {
        assert!(text.contains(&format!("P{n}")), "{kinds:?}: {text}");
    }
    let others = outcomes.iter().filter(|one| one.0 == "OK 2").count();
    assert_eq!(others, outcomes.len() - 1, "{kinds:?}: {outcomes:?}");
    assert!(took < PATIENCE / 2, "{kinds:?}: {took:?}");
    Duration::from_micros(*micros)
}

/// Two handlers that called each other's plugins stood still until the deadline, five seconds later, and with
/// them all other gates of both.
#[test]
fn two_chains_that_cross_are_told_in_every_mode() {
    for place in PLACES {
        for mode in MODES {
            let kinds = [Kind { mode, place }; 2];
            check(&mut Ring::new(&kinds), &kinds);
        }
    }
}

#[test]
fn chains_that_cross_are_told_in_mixes_of_modes_and_processes() {
    let mut random = Random::new("mixes");
    for count in [2, 3, 5] {
        for _ in 0..6 {
            let kinds: Vec<Kind> = (0..count).map(|_| Kind::any(&mut random)).collect();
            check(&mut Ring::new(&kinds), &kinds);
        }
    }
}

/// Says how long it takes until one of a circle is told.
#[test]
#[ignore = "measures, on a quiet machine"]
fn a_circle_is_told_within_a_tenth_of_a_second() {
    for count in [2, 3, 5] {
        let kinds = vec![
            Kind {
                mode: "thread",
                place: Place::There,
            };
            count
        ];
        let mut ring = Ring::new(&kinds);
        let mut all: Vec<_> = (0..100).map(|_| check(&mut ring, &kinds)).collect();
        all.sort();
        println!(
            "{count}: p50 {:?}, p99 {:?}, most {:?}",
            all[50], all[98], all[99]
        );
        assert!(
            all[98] < Duration::from_millis(100),
            "{count}: {:?}",
            all[98]
        );
    }
}
