//! A provider that writes wrong values into its outbox, which an honest caller reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_layout::envelope::Cell;
use callgate_layout::hostile::poke;
use callgate_layout::ring::RingReader;
use callgate_layout::{Code, closing, slot};
use callgate_tests::random::Random;
use callgate_tests::raw::{Link, Raw};
use callgate_tests::{PATIENCE, proc};

use crate::scene::{Scene, a_while, is_over};
use crate::words::{FLAGS, REPLIES, reply, scribble};

const SHORT: Duration = Duration::from_millis(200);

/// Joins, provides, and makes the honest caller begin a call.
fn villain(scene: &mut Scene, name: &str) -> (Raw, Link) {
    let mut raw = Raw::join(&scene.bus, name);
    let gate = format!("{name}.Add");
    raw.provide::<(u64, u64), u64>(&gate);
    scene.ask(&gate, SHORT);
    let link = raw.linked();
    (raw, link)
}

/// The slot of the call that the honest caller has made.
fn called(link: &Link, reader: &mut RingReader) -> u8 {
    let mut cell = Cell::default();
    let call = proc::eventually("a call", || {
        reader
            .take(&link.peer().inbox, &mut cell)
            .ok_or_else(|| "none came".to_owned())
    });
    call.expect("an honest call").slot
}

/// A forged reply is an error for its caller and ends the link. The caller does not read outside of the outbox, panic
/// or wait for ever, and the link's memory is given back.
#[test]
fn a_reply_that_cannot_be_is_an_error_and_closes_the_link() {
    let mut scene = Scene::new();
    let wrong: [(&str, [u64; 4]); 9] = [
        ("a status too many", [1 | 2 << 32, 8, 42, 0]),
        ("the last status", [1 | 255 << 32, 8, 42, 0]),
        ("a place too many", [1 | 2 << 40, 8, 0, 0]),
        ("the last place", [1 | 255 << 40, 8, 0, 0]),
        ("a byte too many for a slot", [1, 113, 42, 0]),
        ("all bytes there can be", [1, u32::MAX as u64, 42, 0]),
        ("a block behind the last", [1 | 1 << 40, 8, 64, 0]),
        ("the last block there can be", [1 | 1 << 40, 8, u64::MAX, 0]),
        (
            "a byte too many for the last block",
            [1 | 1 << 40, 1025, 63, 0],
        ),
    ];
    for (number, (what, words)) in wrong.into_iter().enumerate() {
        let (mut raw, link) = villain(&mut scene, &format!("villain-{number}"));
        let slot = called(&link, &mut RingReader::new(link.geometry));
        reply(&link.outbox, slot, words);
        slot::wake(&link.outbox, link.geometry, slot);
        let line = scene.honest.expect_line();
        assert_eq!(Scene::outcome(&line, SHORT), "PROTOCOL", "{what}");
        let (code, message) = raw.gone(link.end);
        assert_eq!(code, Code::Protocol, "{what}: {message}");
        scene.is_well();
    }
    scene.end();
}

/// A reply that is no value is an error, and the link stays. One that never comes ends at the deadline, even if the
/// caller is woken a thousand times before.
#[test]
fn a_reply_that_is_none_is_an_error_at_the_deadline_at_the_latest() {
    let mut scene = Scene::new();
    let (raw, link) = villain(&mut scene, "villain");
    let mut reader = RingReader::new(link.geometry);
    // The words that are written for a call, given the generation, and the error code that its caller gets.
    type Words = fn(u64) -> [u64; 4];
    let wrong: [(&str, Words, &str); 7] = [
        ("no value at all", |now| [now, 0, 0, 0], "PROTOCOL"),
        ("half a value", |now| [now, 4, 42, 0], "PROTOCOL"),
        (
            "an error that is none",
            |now| [now | 1 << 32, 8, u64::MAX, 0],
            "PROTOCOL",
        ),
        (
            "an error with forged texts",
            |now| [now | 1 << 32, 112, 7, u64::MAX >> 1],
            "PROTOCOL",
        ),
        ("the right answer", |now| [now, 8, 42, 0], "42"),
        ("the generation after", |now| [now + 1, 8, 42, 0], "TIMEOUT"),
        (
            "a generation long past",
            |now| [now | 0xffff_0000, 8, 42, 0],
            "TIMEOUT",
        ),
    ];
    let mut generations = [0; 64];
    for (number, (what, words, expected)) in wrong.into_iter().enumerate() {
        if number > 0 {
            scene.ask("villain.Add", SHORT);
        }
        let slot = called(&link, &mut reader);
        let generation = &mut generations[usize::from(slot)];
        *generation += 1;
        reply(&link.outbox, slot, words(*generation));
        let line = loop {
            slot::wake(&link.outbox, link.geometry, slot);
            if let Ok(line) = scene.honest.line(Duration::ZERO) {
                break line;
            }
        };
        assert_eq!(Scene::outcome(&line, SHORT), expected, "{what}");
        scene.is_well();
    }
    drop(raw);
    scene.end();
}

/// A provider that says it has closed, and never says which calls it has taken, may have taken any.
#[test]
fn a_status_page_can_lie_to_its_own_callers_alone() {
    let mut scene = Scene::new();
    for (number, state) in [2, 1, 7, u64::MAX].into_iter().enumerate() {
        let mut raw = Raw::join(&scene.bus, &format!("villain-{number}"));
        poke(raw.status.as_ref().expect("it has one"), 0, state);
        let gate = format!("villain-{number}.Add");
        raw.provide::<(u64, u64), u64>(&gate);
        scene.ask(&gate, SHORT);
        let _link = raw.linked();
        let line = scene.honest.expect_line();
        assert_eq!(Scene::outcome(&line, SHORT), "TIMEOUT", "state {state}");
        scene.is_well();
    }
    scene.end();
}

/// The words by which a provider says which calls it has taken affect only its own callers. No number in them makes a
/// caller wait beyond its deadline.
#[test]
fn a_provider_can_lie_of_what_it_has_taken_to_its_own_callers_alone() {
    let mut scene = Scene::new();
    let taken = |number: u32, state: u32| u64::from(number) << 32 | u64::from(state);
    let lies = [
        (
            "nothing was taken, and it goes on",
            taken(0, 1),
            "PROVIDER_GONE",
        ),
        (
            "nothing was taken, and it ends",
            taken(0, 2),
            "PROVIDER_GONE",
        ),
        ("long ago", taken(u32::MAX, 1), "PROVIDER_GONE"),
        ("it was taken", taken(1, 1), "TIMEOUT"),
        ("it was taken and answered", taken(1, 2), "TIMEOUT"),
        ("in a state that is none", taken(0, 77), "PROVIDER_GONE"),
    ];
    for (number, (what, words, expected)) in lies.into_iter().enumerate() {
        let mut raw = Raw::join(&scene.bus, &format!("villain-{number}"));
        poke(raw.status.as_ref().expect("it has one"), 0, 2);
        let gate = format!("villain-{number}.Add");
        raw.provide::<(u64, u64), u64>(&gate);
        scene.ask(&gate, SHORT);
        let link = raw.linked();
        poke(&link.outbox, FLAGS + 8, words);
        let line = loop {
            closing::wake(&link.outbox, link.geometry);
            if let Ok(line) = scene.honest.line(Duration::ZERO) {
                break line;
            }
        };
        assert_eq!(Scene::outcome(&line, SHORT), expected, "{what}");
        scene.is_well();
    }
    scene.end();
}

/// Words that change while the caller reads them affect one call at a time. The caller uses no length that it has not
/// checked.
#[test]
fn nonsense_in_every_word_while_it_is_read_hurts_one_call_at_a_time() {
    let mut scene = Scene::new();
    let mut random = Random::new("a hostile provider");
    let mut outcomes = BTreeMap::new();
    let (start, mut round) = (Instant::now(), 0);
    while start.elapsed() < 30 * a_while() {
        let name = format!("villain-{round}");
        let (raw, link) = villain(&mut scene, &name);
        let (start, is_done) = (Instant::now(), AtomicBool::new(false));
        let (mut replies, mut words) = (random.fork(), random.fork());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    flip(&link, round, &mut replies);
                }
            });
            loop {
                (0..50).for_each(|_| scribble(&link.outbox, &mut words));
                slot::wake(&link.outbox, link.geometry, words.below(4) as u8);
                let Ok(line) = scene.honest.line(Duration::ZERO) else {
                    assert!(start.elapsed() < PATIENCE, "no answer");
                    continue;
                };
                let outcome = Scene::outcome(&line, SHORT);
                let is_sum = outcome.parse::<u64>().is_ok();
                *outcomes.entry(outcome).or_insert(0) += 1;
                // After an error the rest would be the same, so the next villain begins.
                if !is_sum || is_over(start) {
                    break;
                }
                scene.ask(&format!("{name}.Add"), SHORT);
            }
            is_done.store(true, Ordering::Relaxed);
        });
        drop(raw);
        scene.is_well();
        round += 1;
    }
    println!("what became of the calls: {outcomes:?}");
    scene.end();
}

/// Writes changing states over half-correct replies.
fn flip(link: &Link, round: usize, random: &mut Random) {
    let slot = random.below(4) as u8;
    let at = REPLIES + usize::from(slot) * 128;
    let head =
        random.below(3) as u64 | (random.below(3) as u64) << 32 | (random.below(3) as u64) << 40;
    match round % 3 {
        0 => poke(&link.outbox, at, head),
        1 if random.below(2) == 0 => poke(&link.outbox, at, 1),
        1 => poke(&link.outbox, at + 8, random.number() >> random.below(64)),
        _ => reply(
            &link.outbox,
            slot,
            [head, random.below(70_000) as u64, random.number() & 127, 0],
        ),
    }
}
