//! What one side writes into its outbox and its pages, the other side reads, through two maps of one memory file, as
//! in two processes.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::thread;

use callgate_layout::bells::{Bells, KeptBell, Sleeper};
use callgate_layout::blocks::{self, Blocks, Region};
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, ExtentPlace, Place, Reply};
use callgate_layout::flags::{self, Waiter};
use callgate_layout::geometry::{CHAIN_LEN, INLINE_LEN};
use callgate_layout::pages::{
    self, Activity, Counters, DOORBELL_LEN, Doorbell, Rung, STATUS_LEN, Status,
};
use callgate_layout::ring::{RingReader, RingWriter};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::{futex, memfd};
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, Geometry, clock, slot};

const G: Geometry = Geometry::DEFAULT;
const SECOND: u64 = 1_000_000_000;

/// Memory as its writer and as its reader maps it.
fn shared(len: usize) -> (WriteView, ReadView) {
    let file = memfd::create("exchange", len).unwrap();
    let inbox = Mapping::read_only(file.try_clone().unwrap(), len).unwrap();
    let outbox = Mapping::writable(file, len).unwrap();
    (WriteView::new(outbox).unwrap(), ReadView::new(inbox))
}

fn call(slot: u8, place: Place, length: usize, chain: Option<Chain>) -> Call {
    Call {
        gate: 700,
        slot,
        kind: CallKind::Action,
        encoding: Encoding::Archive,
        place,
        length: length as u32,
        deadline: 5,
        chain,
    }
}

/// Bytes of which no two neighbours, and no two cells, are the same.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + seed * 31 + 1) as u8).collect()
}

/// A payload of any length arrives, also if it continues in the entry's second line.
#[test]
fn a_call_s_payload_of_any_length_comes_through_its_entry() {
    let (outbox, inbox) = shared(G.total_len());
    let (writer, mut reader) = (RingWriter::new(G), RingReader::new(G));
    let nested = Chain {
        id: 1 << 63 | 77,
        depth: 3,
    };
    for chain in [None, Some(nested)] {
        let most = INLINE_LEN - chain.map_or(0, |_| CHAIN_LEN);
        for length in 0..=most {
            let sent = call(length as u8 & 63, Place::Inline, length, chain);
            let payload = bytes(length, length);
            let mut cell = Cell::default();
            cell.payload_mut(chain.is_some())[..length].copy_from_slice(&payload);
            let mut taken = Cell::default();
            assert!(!reader.has_call(&inbox), "before it is there");
            assert_eq!(reader.take(&inbox, &mut taken), None);
            writer.prepare(&outbox);
            writer.publish(&outbox, &sent, &mut cell);
            assert!(reader.has_call(&inbox));
            assert_eq!(reader.take(&inbox, &mut taken), Some(Ok(sent)));
            assert_eq!(taken.payload(chain.is_some())[..length], payload);
        }
    }
}

/// Waiting calls are in entries next to each other, and are taken in order.
#[test]
fn a_full_ring_of_calls_is_taken_in_order() {
    let (outbox, inbox) = shared(G.total_len());
    let (writer, mut reader) = (RingWriter::new(G), RingReader::new(G));
    for _ in 0..3 {
        for slot in 0..G.entries() as u8 {
            let mut cell = Cell::default();
            cell.inline_mut()
                .copy_from_slice(&bytes(slot.into(), INLINE_LEN));
            let sent = call(slot, Place::Inline, INLINE_LEN, None);
            writer.publish(&outbox, &sent, &mut cell);
        }
        for slot in 0..G.entries() as u8 {
            let mut cell = Cell::default();
            let taken = reader.take(&inbox, &mut cell).unwrap().unwrap();
            assert_eq!(taken.slot, slot);
            assert_eq!(cell.inline()[..], bytes(slot.into(), INLINE_LEN));
        }
        assert_eq!(reader.take(&inbox, &mut Cell::default()), None);
    }
}

/// The place of a payload that is not in the entry arrives, also in a nested call.
#[test]
fn places_come_through() {
    let (outbox, inbox) = shared(G.total_len());
    let (writer, mut reader) = (RingWriter::new(G), RingReader::new(G));
    let extent = ExtentPlace {
        extent: 9,
        block: 63,
    };
    let nested = Chain {
        id: 1 << 63 | 77,
        depth: 3,
    };
    for place in [Place::Blocks { block: 3 }, Place::Extent(extent)] {
        for chain in [None, Some(nested)] {
            let sent = call(1, place, 5000, chain);
            writer.publish(&outbox, &sent, &mut Cell::default());
            let taken = reader.take(&inbox, &mut Cell::default());
            assert_eq!(taken, Some(Ok(sent)));
        }
        let reply = Reply {
            ok: false,
            place,
            length: 5000,
        };
        slot::publish(&outbox, G, 1, 1, &reply, &mut Cell::default());
        assert_eq!(slot::read(&inbox, G, 1, &mut Cell::default()), Ok(reply));
    }
}

/// An answer of any length arrives, also if the answer before in its slot, or in the next slot, had another length.
#[test]
fn an_answer_of_any_length_comes_through_its_slot() {
    let (outbox, inbox) = shared(G.total_len());
    for generation in 1..=2 {
        for slot in 0..G.entries() as u8 {
            let length = usize::from(slot) + 49 * (generation as usize - 1);
            let reply = Reply {
                ok: slot % 2 == 0,
                place: Place::Inline,
                length: length as u32,
            };
            let mut cell = Cell::default();
            cell.inline_mut()[..length].copy_from_slice(&bytes(length, length));
            assert_eq!(slot::state(&inbox, G, slot), generation - 1);
            slot::prepare(&outbox, G, slot);
            slot::publish(&outbox, G, slot, generation, &reply, &mut cell);
        }
        for slot in 0..G.entries() as u8 {
            let length = usize::from(slot) + 49 * (generation as usize - 1);
            assert_eq!(slot::state(&inbox, G, slot), generation);
            let mut cell = Cell::default();
            let reply = slot::read(&inbox, G, slot, &mut cell).unwrap();
            assert_eq!((reply.ok, reply.length as usize), (slot % 2 == 0, length));
            assert_eq!(cell.inline()[..length], bytes(length, length));
        }
    }
}

/// Two payloads in the blocks of one outbox overlap neither each other nor anything else.
#[test]
fn payloads_in_blocks_lie_apart() {
    let (outbox, inbox) = shared(G.total_len());
    let (region, lengths) = (Region::outbox(G), [1, 1024, 1025, 5000, 513]);
    let blocks = Blocks::new(region);
    let mut cell = Cell::default();
    cell.inline_mut().fill(0xee);
    RingWriter::new(G).publish(&outbox, &call(0, Place::Inline, 112, None), &mut cell);
    for slot in 0..G.entries() as u8 {
        flags::release(&outbox, G, slot, u32::MAX);
    }
    let runs = lengths.map(|len| {
        let run = blocks.allocate(len).unwrap();
        blocks::write(&outbox, region, run, &bytes(len, len));
        run
    });
    assert_eq!(blocks.taken(), 1 + 1 + 2 + 5 + 1);
    for (run, len) in runs.into_iter().zip(lengths) {
        let mut read = vec![0; len];
        blocks::read(&inbox, region, run.first(), &mut read);
        assert!(read == bytes(len, len), "{len}");
    }
    let taken = RingReader::new(G).take(&inbox, &mut cell).unwrap();
    assert_eq!((taken.unwrap().length, cell.inline()), (112, &[0xee; 112]));
    assert!((0..64).all(|slot| flags::is_released(&inbox, G, slot, u32::MAX)));
}

/// Each pending call has flags of its own, and the two words of each are separate.
#[test]
fn flags_come_through() {
    let (outbox, inbox) = shared(G.total_len());
    let waiter = |slot: u8| match slot % 3 {
        0 => Waiter::Nobody,
        1 => Waiter::Reply,
        _ => Waiter::Bell(slot),
    };
    for slot in 0..G.entries() as u8 {
        assert_eq!(flags::waiter_to_wake(&inbox, G, slot), Waiter::Nobody);
        assert!(flags::is_released(&inbox, G, slot, 0));
        flags::set_waiter(&outbox, G, slot, waiter(slot));
        flags::release(&outbox, G, slot, 1000 + u32::from(slot));
    }
    for slot in 0..G.entries() as u8 {
        assert_eq!(flags::waiter_to_wake(&inbox, G, slot), waiter(slot));
        assert!(flags::is_released(&inbox, G, slot, 1000 + u32::from(slot)));
        assert!(!flags::is_released(&inbox, G, slot, 1001 + u32::from(slot)));
    }
}

/// A peer rings only if the status page says that the plugin sleeps. If the page said so without reason, the peer
/// would make a system call with every call.
#[test]
fn a_status_page_says_what_its_plugin_does() {
    let (page, peer) = shared(STATUS_LEN);
    let status = Status::new(page);
    let (_, bell) = bells();
    let said = || {
        let activity = pages::look_after_publishing(&peer);
        (activity, pages::look_after_releasing(&peer))
    };
    assert_eq!(said(), (Activity::Awake, false));
    assert_eq!(status.park(&bell), bell.value());
    assert_eq!(said(), (Activity::Parked, true));
    status.awake();
    assert_eq!(said(), (Activity::Awake, false));
    status.starve();
    status.starve();
    status.sated();
    assert_eq!(said(), (Activity::Awake, true));
    status.sated();
    assert_eq!(said(), (Activity::Awake, false));
    for failed in [false, true, false, true, true] {
        status.count_call(failed);
    }
    status.count_json_call();
    assert_eq!(status.park(&bell), bell.value());
    let counted = Counters {
        parks: 2,
        calls: 5,
        errors: 3,
        json_calls: 1,
    };
    assert_eq!(pages::counters(&peer), counted);
    status.close();
    assert_eq!(said(), (Activity::Closed, false));
}

/// A caller that sent many calls to a parked plugin made a system call for each of them.
#[test]
fn a_plugin_is_rung_once_a_park() {
    let (page, peer) = shared(STATUS_LEN);
    let status = Status::new(page);
    let (_, bell) = bells();
    let rung = Rung::new();
    let rings = || {
        let mut rings = 0;
        (0..3).for_each(|_| rung.once_a_park(&peer, || rings += 1));
        rings
    };
    for _ in 0..2 {
        status.park(&bell);
        assert_eq!(rings(), 1);
        status.awake();
    }
    // Another thread of the plugin may have parked meanwhile, and sleeps on a newer value of the bell.
    status.park(&bell);
    status.park(&bell);
    assert_eq!((rings(), rings()), (1, 0));
    // A peer that set the bell back undid the ring, and no later call was noticed.
    rung.forget();
    assert_eq!((rings(), rings()), (1, 0));
}

fn bells() -> (Bells, Doorbell) {
    let file = memfd::create("exchange", DOORBELL_LEN).unwrap();
    let bell = |file| {
        let map = Mapping::writable(file, DOORBELL_LEN).unwrap();
        Doorbell::new(WriteView::new(map).unwrap())
    };
    let own = bell(file.try_clone().unwrap());
    (Bells::new(own.into()), bell(file))
}

/// Checks that a wait lasts until its deadline. It may return early sometimes, but not again and again.
fn sleeps(until: u64, wait: impl Fn()) {
    let mut returns = 0_u64;
    while clock::now() < until {
        wait();
        returns += 1;
    }
    assert!(returns < 50, "it did not sleep: {returns}");
}

/// A caller that sleeps on its bell is named in its flags. It sleeps until that bell is rung, and no other bell wakes
/// it.
#[test]
fn a_caller_sleeps_until_its_bell_is_rung() {
    let (outbox, inbox) = shared(G.total_len());
    let (bells, peer) = bells();
    let other = Sleeper::new(&bells, &outbox, G, 8).unwrap();
    let sleeper = Sleeper::new(&bells, &outbox, G, 9).unwrap();
    let seen = sleeper.announce();
    let Waiter::Bell(bell) = flags::waiter_to_wake(&inbox, G, 9) else {
        panic!("no bell is named");
    };
    assert_eq!(flags::waiter_to_wake(&inbox, G, 8), Waiter::Nobody);
    peer.ring();
    peer.ring_callers(bell - 1);
    assert_eq!(sleeper.value(), seen, "those bells are others'");
    assert_ne!(other.value(), 0);
    let start = clock::now();
    let until = start + SECOND / 20;
    sleeps(until, || sleeper.sleep(seen, until));
    thread::scope(|scope| {
        scope.spawn(|| peer.ring_callers(bell));
        while sleeper.value() == seen {
            sleeper.sleep(seen, start + 60 * SECOND);
        }
    });
    assert!(clock::now() < start + 50 * SECOND, "nobody woke it");
    assert_eq!(sleeper.announce(), seen.wrapping_add(1));
    assert!(bells.in_use().eq([bell - 1, bell]));
    drop(sleeper);
    assert_eq!(flags::waiter_to_wake(&inbox, G, 9), Waiter::Nobody);
    assert!(bells.in_use().eq([bell - 1]), "the bell is free again");
    // The side that ends a link rings all bells in use.
    let before = other.value();
    bells.ring_all();
    assert_eq!(other.value(), before.wrapping_add(1));
}

/// The dispatcher's bell can be rung by the plugin itself and by a peer.
#[test]
fn a_doorbell_is_heard_through_another_map() {
    let (bells, peer) = bells();
    drop(bells);
    let start = clock::now();
    let until = start + SECOND / 20;
    sleeps(until, || peer.wait(peer.value(), Some(until)));
    sleeps(until + SECOND / 20, || {
        futex::wait_any(&[peer.word()], until + SECOND / 20);
    });
    let seen = peer.value();
    peer.touch();
    assert_eq!(peer.value(), seen.wrapping_add(1));
    peer.wait(seen, None);
    thread::scope(|scope| {
        let seen = peer.value();
        scope.spawn(|| peer.ring());
        while peer.value() == seen {
            peer.wait(seen, Some(start + 60 * SECOND));
        }
    });
    assert!(clock::now() < start + 50 * SECOND, "nobody woke it");
}

/// A thread that waits for many answers is woken by the bell that it keeps, which either side can ring.
#[test]
fn a_kept_bell_is_rung_from_either_side() {
    let (bells, peer) = bells();
    let bells = Arc::new(bells);
    let other = KeptBell::take(&bells).unwrap();
    let kept = KeptBell::take(&bells).unwrap();
    assert_ne!(kept.number(), other.number());
    assert!(bells.in_use().eq([other.number(), kept.number()]));
    let start = clock::now();
    let until = start + SECOND / 20;
    let seen = kept.value();
    peer.ring_callers(other.number());
    assert_eq!((kept.value(), other.value()), (seen, 1));
    sleeps(until, || futex::wait_any(&[kept.word(seen)], until));
    peer.touch_callers(kept.number());
    assert_eq!(kept.value(), seen.wrapping_add(1));
    kept.touch();
    assert_eq!(kept.value(), seen.wrapping_add(2));
    for ring in [
        &(|| peer.ring_callers(kept.number())) as &(dyn Fn() + Sync),
        &|| kept.ring(),
    ] {
        let seen = kept.value();
        thread::scope(|scope| {
            scope.spawn(ring);
            while kept.value() == seen {
                futex::wait_any(&[kept.word(seen)], start + 60 * SECOND);
            }
        });
    }
    assert!(clock::now() < start + 50 * SECOND, "nobody woke it");
    drop(kept);
    assert!(bells.in_use().eq([other.number()]));
}
