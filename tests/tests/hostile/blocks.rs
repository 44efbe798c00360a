//! A caller that keeps its answers: what it releases is free at once, and nothing else is.

use callgate_layout::envelope::{Place, Reply};
use callgate_layout::{Geometry, clock, flags, slot};
use callgate_tests::proc;
use callgate_tests::raw::{Link, Raw};
use nix::sys::uio::pread;

use crate::scene::Scene;
use crate::words::{Entry, answer};

/// The offset in a status page of the number of threads that wait for payload space.
const STARVING: i64 = 4;

/// Makes the provider answer with so many bytes.
fn zeros(link: &Link, gate: u16, (sequence, slot): (u32, u8), bytes: u64) {
    let call = Entry {
        slot,
        length: 4,
        payload: [bytes, 0],
        deadline: clock::to_tick(clock::now() + 60_000_000_000),
        ..Entry::add(sequence, gate)
    };
    call.write(link);
}

fn starving(link: &Link) -> u32 {
    let mut word = [0; 4];
    let [_, status, _] = &link.peer().descriptors;
    assert_eq!(pread(status, &mut word, STARVING), Ok(4));
    u32::from_le_bytes(word)
}

fn expect_starving(link: &Link, expected: u32) {
    proc::eventually("so many wait for room", || match starving(link) {
        count if count == expected => Ok(()),
        count => Err(format!("{count}, not {expected}")),
    });
}

/// Releases the payload of an answer as a caller does.
fn release(link: &Link, slot: u8, generation: u32) {
    flags::release(&link.outbox, Geometry::DEFAULT, slot, generation);
    link.peer().bell.ring();
}

fn block(reply: &Reply) -> u8 {
    match reply.place {
        Place::Blocks { block } if reply.ok => block,
        _ => panic!("{reply:?}"),
    }
}

/// A provider says that it is starving until the last answer that waits has found space, and not longer: each release
/// of a peer rings its bell meanwhile.
#[test]
fn a_provider_starves_until_its_last_answer_has_found_room() {
    let scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "keeper");
    let (link, gate) = raw.link_to::<(u32,), Vec<u8>>("anvil.Zeros");
    zeros(&link, gate, (1, 0), 40_000);
    let (reply, _) = answer(&link, 0, 1);
    block(&reply);
    assert_eq!(starving(&link), 0);
    // Two of these do not fit the outbox's blocks, and nobody here maps an extent.
    zeros(&link, gate, (2, 1), 40_000);
    zeros(&link, gate, (3, 2), 40_000);
    expect_starving(&link, 1);
    release(&link, 0, 1);
    block(&answer(&link, 1, 1).0);
    assert_eq!(starving(&link), 1, "the other one still waits");
    release(&link, 1, 1);
    block(&answer(&link, 2, 1).0);
    expect_starving(&link, 0);
    // If a link ends while an answer waits, nothing stays behind.
    zeros(&link, gate, (4, 3), 40_000);
    expect_starving(&link, 1);
    drop(raw);
    expect_starving(&link, 0);
    scene.end();
}

/// A call that uses a slot again releases the slot's last answer. The answers of other slots are still being read,
/// and stay.
#[test]
fn a_slots_next_call_frees_its_last_answer_and_no_other() {
    let scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "keeper");
    let (link, gate) = raw.link_to::<(u32,), Vec<u8>>("anvil.Zeros");
    let mut blocks = Vec::new();
    for slot in 0..3 {
        zeros(&link, gate, (u32::from(slot) + 1, slot), 20_000);
        blocks.push(block(&answer(&link, slot, 1).0));
    }
    for generation in 2..6 {
        zeros(&link, gate, (generation + 2, 1), 20_000);
        let (reply, _) = answer(&link, 1, generation);
        assert_eq!(block(&reply), blocks[1], "no other room is free");
    }
    // An answer that needs the space of two waits until both are free.
    zeros(&link, gate, (8, 1), 30_000);
    expect_starving(&link, 1);
    assert_eq!(slot::state(&link.peer().inbox, Geometry::DEFAULT, 1), 5);
    release(&link, 2, 1);
    block(&answer(&link, 1, 6).0);
    expect_starving(&link, 0);
    drop(raw);
    scene.end();
}
