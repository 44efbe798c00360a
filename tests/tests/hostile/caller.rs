//! A caller that writes wrong values into its outbox, which an honest provider reads.

use std::thread;
use std::time::Instant;

use callgate_layout::hostile::poke;
use callgate_layout::{Code, clock};
use callgate_tests::random::Random;
use callgate_tests::raw::{Link, Raw};

use crate::scene::{Scene, is_over};
use crate::words::{BLOCKS, END, Entry, FLAGS, answer, code, scribble};

fn villain(scene: &Scene, name: &str) -> (Raw, Link, u16) {
    let mut raw = Raw::join(&scene.bus, name);
    let (link, index) = raw.link_to::<(u64, u64), u64>("anvil.Add");
    (raw, link, index)
}

/// A call with a forged length, block or slot ends the link of its caller. The provider does not read outside of the
/// outbox and does not panic, which would end all of its links.
#[test]
fn a_call_that_cannot_be_closes_the_callers_own_link() {
    let mut scene = Scene::new();
    let blocks = 1 << 4;
    type Spoil = fn(&mut Entry);
    let wrong: [(&str, Spoil); 14] = [
        ("the first slot too many", |call| call.slot = 64),
        ("the last slot there can be", |call| call.slot = 255),
        ("a kind too many", |call| call.kind = 2),
        ("the last kind", |call| call.kind = 15),
        ("a place too many", |call| call.kind = 2 << 4),
        ("the last place", |call| call.kind = 15 << 4),
        ("all bits of a kind", |call| call.kind = 255),
        ("a byte too many for an entry", |call| call.length = 113),
        ("all bytes there can be", |call| call.length = u32::MAX),
        ("a block behind the last", |call| call.payload[0] = 64),
        ("the last block there can be", |call| {
            call.payload[0] = u64::MAX;
        }),
        ("a block whose number is cut", |call| call.payload[0] = 256),
        ("a byte too many for the last block", |call| {
            (call.payload[0], call.length) = (63, 1025);
        }),
        ("more than the outbox's blocks", |call| {
            (call.payload[0], call.length) = (0, u32::MAX);
        }),
    ];
    for (number, (what, spoil)) in wrong.into_iter().enumerate() {
        let (mut raw, link, index) = villain(&scene, &format!("villain-{number}"));
        Entry::add(1, index).write(&link);
        let (reply, cell) = answer(&link, 0, 1);
        assert!(
            reply.ok && cell.inline()[0] == 42,
            "{what}: the right call before"
        );
        let mut call = Entry::add(2, index);
        if number >= 9 {
            call.kind = blocks;
        }
        spoil(&mut call);
        call.write(&link);
        let (code, message) = raw.gone(link.end);
        assert_eq!(code, Code::Protocol, "{what}: {message}");
        scene.is_well();
    }
    scene.end();
}

/// A caller names a slot again while the provider still holds its first answer back for lack of space. The link ends:
/// otherwise two answers would get into one place.
#[test]
fn a_busy_slot_that_is_named_again_closes_the_link() {
    let scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    let (link, index) = raw.link_to::<(u32,), Vec<u8>>("anvil.Zeros");
    let call = |sequence, slot| Entry {
        slot,
        length: 4,
        payload: [40_000, 0],
        ..Entry::add(sequence, index)
    };
    // The first answer takes most of the provider's blocks and is never released.
    call(1, 0).write(&link);
    assert!(answer(&link, 0, 1).0.ok);
    call(2, 1).write(&link);
    call(3, 1).write(&link);
    let (code, message) = raw.gone(link.end);
    assert_eq!(code, Code::Protocol, "{message}");
    scene.end();
}

/// A call that is only wrong gets an error. The link stays, and no gate runs that was not granted.
#[test]
fn a_call_that_is_wrong_is_answered_with_an_error() {
    let mut scene = Scene::new();
    let (mut raw, link, index) = villain(&scene, "villain");
    let echo = raw.route_to::<(Vec<u8>,), Vec<u8>>("anvil.Echo");
    assert_eq!(echo.end, link.end);
    let mut sequence = 0;
    let mut call = |spoil: &dyn Fn(&mut Entry)| {
        sequence += 1;
        let mut entry = Entry::add(sequence, index);
        spoil(&mut entry);
        entry.write(&link);
        answer(&link, 0, sequence)
    };
    type Spoil<'a> = &'a dyn Fn(&mut Entry);
    let (denied, invalid) = (Code::PermissionDenied, Code::Protocol);
    let wrong: [(&str, Code, Spoil<'_>); 9] = [
        ("a gate behind the last granted", denied, &|call| {
            call.gate = echo.index + 1;
        }),
        ("the last gate there can be", denied, &|call| {
            call.gate = u16::MAX;
        }),
        ("an action of a function", Code::NotReady, &|call| {
            call.kind = 1;
        }),
        ("a deadline that has passed", Code::Timeout, &|call| {
            call.deadline = clock::to_tick(clock::now().saturating_sub(9_000_000_000));
        }),
        ("no arguments", invalid, &|call| call.length = 0),
        ("half an argument", invalid, &|call| call.length = 12),
        ("arguments of another gate", invalid, &|call| {
            call.gate = echo.index;
        }),
        ("a vector that lies elsewhere", invalid, &|call| {
            (call.gate, call.length, call.payload[0]) = (echo.index, 8, 0x0000_0010_7fff_ffff);
        }),
        ("a vector too long", invalid, &|call| {
            (call.gate, call.length, call.payload[0]) = (echo.index, 8, 0xffff_ffff_ffff_fff0);
        }),
    ];
    for (what, expected, spoil) in wrong {
        let (reply, cell) = call(spoil);
        assert_eq!(code(&reply, &cell), expected, "{what}");
        let (reply, cell) = call(&|_| {});
        assert!(
            reply.ok && cell.inline()[0] == 42,
            "after {what}: {reply:?}"
        );
    }
    // A call number that skips some counts as not there yet: the provider neither waits for it nor answers it.
    Entry {
        slot: 9,
        ..Entry::add(sequence + 5, index)
    }
    .write(&link);
    scene.is_well();
    let state = callgate_layout::slot::state(&link.peer().inbox, link.geometry, 9);
    assert_eq!(state, 0, "a call out of turn was answered");
    drop(raw);
    scene.end();
}

/// Words that change while the provider reads them harm only their writer. Constant nonsense does not keep the
/// provider from other callers, and does not end it.
#[test]
fn nonsense_in_every_word_while_it_is_read_hurts_nobody_else() {
    let mut scene = Scene::new();
    let mut random = Random::new("a hostile caller");
    for round in 0..20 {
        let (mut raw, link, index) = villain(&scene, &format!("villain-{round}"));
        let echo = raw.route_to::<(Vec<u8>,), Vec<u8>>("anvil.Echo").index;
        let zeros = raw.route_to::<(u32,), Vec<u8>>("anvil.Zeros").index;
        let gates = [index, echo, zeros, zeros + 1];
        // How often something in a call is wrong: from every call to one in some hundreds. So links end at once, or
        // after many calls.
        let odds = 1 << (round % 10);
        let start = Instant::now();
        let sources = [random.fork(), random.fork(), random.fork()];
        thread::scope(|scope| {
            let [mut calls, mut words, mut payloads] = sources;
            let link = &link;
            scope.spawn(move || {
                for sequence in 1.. {
                    likely_call(sequence, gates, odds, &mut calls).write(link);
                    if sequence % 16 == 0 && is_over(start) {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                while !is_over(start) {
                    // With the best odds only the thread above writes to the ring.
                    match odds > 64 {
                        true => poke(&link.outbox, FLAGS + words.below(512) * 8, words.number()),
                        false => scribble(&link.outbox, &mut words),
                    }
                }
            });
            scope.spawn(move || {
                while !is_over(start) {
                    let at = match payloads.below(2) {
                        0 => payloads.below(64) * 128 + 16 + payloads.below(14) * 8,
                        _ => BLOCKS + payloads.below((END - BLOCKS) / 8) * 8,
                    };
                    poke(&link.outbox, at, payloads.number() >> payloads.below(64));
                }
            });
        });
        scene.is_well();
    }
    scene.end();
}

/// A call that is correct, except for one thing in `odds`.
fn likely_call(sequence: u32, gates: [u16; 4], odds: usize, random: &mut Random) -> Entry {
    let mut call = Entry::add(sequence, gates[random.below(4)]);
    call.slot = (sequence % 64) as u8;
    if random.below(2) == 0 {
        call.kind = 1 << 4;
        call.length = random.below(2048) as u32;
        call.payload = [random.below(62) as u64, random.number()];
    } else {
        call.length = random.below(113) as u32;
        call.payload = [random.number() >> random.below(64), random.number()];
    }
    if random.below(odds) == 0 {
        match random.below(6) {
            0 => call.slot = random.number() as u8,
            1 => call.kind = random.number() as u8,
            2 => call.length = random.number() as u32,
            3 => call.gate = random.number() as u16,
            4 => call.deadline = random.number() as u32,
            _ => call.payload[0] = random.number(),
        }
    }
    call
}
