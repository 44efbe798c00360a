//! Chains that cross.
//!
//! `CALLGATE_ROUNDS` says how many times each mix of modes is played. Places are random; `CALLGATE_SEED` repeats
//! them.

use std::time::{Duration, Instant};

use callgate_tests::PATIENCE;
use callgate_tests::crossing::{Crossed, name};
use callgate_tests::random::Random;

use crate::rings::{Kind, MODES, Place, Stage};

/// The calls of a ring that ended with `DEADLOCK`.
fn told(outcomes: &[Crossed]) -> Vec<&Crossed> {
    let is_it = |(outcome, _): &&Crossed| outcome.starts_with("DEADLOCK");
    outcomes.iter().filter(is_it).collect()
}

/// Crosses the chains of a ring. One call ends with `DEADLOCK` and the names, and the others succeed, long before any
/// deadline. Returns how long it took until that call ended.
fn check(stage: &mut Stage, ring: &[usize]) -> Duration {
    let start = Instant::now();
    let outcomes = stage.cross(ring);
    is_one_told(stage, ring, (&outcomes, start.elapsed()))
}

/// Checks that one of the calls ended with `DEADLOCK` and the names, and the others succeeded. Returns how long that
/// took.
pub(crate) fn is_one_told(
    stage: &Stage,
    ring: &[usize],
    (outcomes, took): (&[Crossed], Duration),
) -> Duration {
    let kinds: Vec<Kind> = ring.iter().map(|n| stage.kind(*n)).collect();
    let told = told(outcomes);
    assert_eq!(told.len(), 1, "{ring:?} {kinds:?}: {outcomes:?}");
    let (text, micros) = told[0];
    for n in ring {
        let name = format!("`{}`", name(*n as u64));
        assert!(text.contains(&name), "{kinds:?}: {text}");
    }
    let others = outcomes.iter().filter(|one| one.0 == "OK 2").count();
    assert_eq!(others, outcomes.len() - 1, "{kinds:?}: {outcomes:?}");
    assert!(took < PATIENCE / 2, "{kinds:?}: {took:?}");
    Duration::from_micros(*micros)
}

/// The mixes of modes that rings of so many members can have, each in its smallest rotation.
fn mixes(count: usize) -> Vec<Vec<usize>> {
    let all = 0..MODES.len().pow(count as u32);
    let mode = |mix: usize, at: usize| mix / MODES.len().pow(at as u32) % MODES.len();
    let mixes = all.map(|mix| (0..count).map(|at| mode(mix, at)).collect());
    let is_least = |mix: &Vec<usize>| {
        let turned = |by| mix.iter().cycle().skip(by).take(count);
        (1..count).all(|by| turned(by).ge(mix.iter()))
    };
    mixes.filter(is_least).collect()
}

/// Different members of these modes, chosen at random.
fn ring(kinds: &[Kind], modes: &[usize], random: &mut Random) -> Vec<usize> {
    let mut ring = Vec::new();
    for mode in modes {
        let is_free = |n: &usize| kinds[*n].mode == MODES[*mode] && !ring.contains(n);
        let free: Vec<usize> = (0..kinds.len()).filter(is_free).collect();
        ring.push(free[random.below(free.len())]);
    }
    ring
}

/// How long it took: the 50th and the 99th percentile.
struct Summary {
    p50: Duration,
    p99: Duration,
}

impl Summary {
    fn new(what: &str, mut all: Vec<Duration>) -> Summary {
        all.sort();
        let of_hundred = |n: usize| all[(all.len() * n / 100).min(all.len() - 1)];
        let (p50, p99, most) = (of_hundred(50), of_hundred(99), of_hundred(100));
        println!(
            "{what}: {} times, p50 {p50:?}, p99 {p99:?}, most {most:?}",
            all.len()
        );
        Summary { p50, p99 }
    }
}

/// Plays every mix of modes in rings of two, three and five; returns how long they took.
fn every_mix(rounds: usize) -> Vec<Summary> {
    let (kinds, mut random) = (Kind::all(), Random::new("mixes"));
    let mut stage = Stage::new(&kinds);
    let counts = [2, 3, 5].iter().map(|count| {
        let rings = (0..rounds).flat_map(|_| mixes(*count));
        let times: Vec<_> = rings
            .map(|modes| check(&mut stage, &ring(&kinds, &modes, &mut random)))
            .collect();
        Summary::new(&format!("{count} plugins"), times)
    });
    counts.collect()
}

/// When handlers call each other's plugins in a circle, one of the calls ends with `DEADLOCK`. Otherwise all gates of
/// these plugins would stand still until the deadline, five seconds later.
#[test]
fn chains_that_cross_are_told_in_every_mix_of_modes() {
    let rounds = std::env::var("CALLGATE_ROUNDS").ok();
    let rounds = rounds.map_or(1, |said| said.parse().expect("a number"));
    for Summary { p50, .. } in every_mix(rounds) {
        // Less than 60 ms if nothing else runs.
        assert!(p50 < Duration::from_secs(1), "{p50:?}");
    }
}

#[test]
#[ignore = "measures, on a quiet machine"]
fn a_circle_is_told_within_a_tenth_of_a_second() {
    for Summary { p99, .. } in every_mix(5) {
        assert!(p99 < Duration::from_millis(100), "{p99:?}");
    }
}

/// Visitors of a pool hold neither turns nor threads of it. So a plugin that is called directly goes on, and no call
/// ends with `DEADLOCK`.
#[test]
fn nobody_is_told_where_one_of_the_plugins_never_stands_still() {
    let pool = Kind {
        mode: "pool",
        place: Place::Direct,
    };
    let mode = |mode| Kind { mode, ..pool };
    let mut stage = Stage::new(&[pool, mode("thread"), mode("group")]);
    for ring in [&[0, 1][..], &[2, 0], &[0, 1, 2]] {
        let outcomes = stage.cross(ring);
        assert!(told(&outcomes).is_empty(), "{ring:?}: {outcomes:?}");
    }
}
