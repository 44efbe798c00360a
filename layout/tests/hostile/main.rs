//! A peer that writes wrong values into every word that it may write.
//!
//! Whatever it writes and whenever, none of this may happen: a panic, an access out of bounds (which panics), a claim
//! that passes its check although its payload is outside of its place, a loop that does not end. The peer here is
//! this process, which writes into the outbox's memory file.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

mod cells;
mod events;
mod outbox;
mod wrong_rings;

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use callgate_layout::blocks::{self, Blocks, Region};
use callgate_layout::envelope::{Call, CallKind, Cell, Place, Reply};
use callgate_layout::flags::Waiter;
use callgate_layout::geometry::{BLOCKS, CELL_LEN, FLAGS_LEN, INLINE_LEN};
use callgate_layout::late::Abandoning;
use callgate_layout::pages::{self, DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::pending::{Pending, Ticket};
use callgate_layout::ring::{RingReader, RingWriter};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, Geometry, clock, flags, slot};
use proptest::prelude::*;

use outbox::{Outbox, read_all, read_payload, read_slots};

const SMALL: Geometry = Geometry::new(2, 512).unwrap();
const WORDS: [u32; 17] = [
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    63,
    64,
    INLINE_LEN as u32 + 1,
    // One more than fits after the block of an honest call, and all blocks.
    489,
    512,
    0x0101_0101,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];

/// One wrong word anywhere in an otherwise correct outbox does no harm.
#[test]
fn one_wrong_word_does_no_harm() {
    let outbox = Outbox::honest(SMALL);
    let mut honest = vec![0; SMALL.total_len()];
    outbox.file.read_exact_at(&mut honest, 0).unwrap();
    for at in (0..SMALL.total_len()).step_by(4) {
        for word in WORDS {
            outbox.write(at, &word.to_le_bytes());
            read_all(&outbox.inbox, SMALL);
        }
        outbox.write(at, &honest[at..at + 4]);
    }
    // Kind, status and place are single bytes: all their values.
    for at in (0..4 * CELL_LEN).filter(|at| at % CELL_LEN < 24) {
        for byte in 0..=255 {
            outbox.write(at, &[byte]);
            read_all(&outbox.inbox, SMALL);
        }
        outbox.write(at, &honest[at..=at]);
    }
}

/// The same in an outbox of the size that the broker makes, for its first and last cells.
#[test]
fn one_wrong_word_does_no_harm_in_a_large_outbox() {
    let geometry = Geometry::DEFAULT;
    let outbox = Outbox::honest(geometry);
    let flags = 2 * 64 * CELL_LEN;
    for cell in [0, 1, 63, 64, 65, 127] {
        for at in (0..24).step_by(4).map(|at| cell * CELL_LEN + at) {
            let mut honest = [0; 4];
            outbox.file.read_exact_at(&mut honest, at as u64).unwrap();
            for word in WORDS {
                outbox.write(at, &word.to_le_bytes());
                read_all(&outbox.inbox, geometry);
            }
            outbox.write(at, &honest);
        }
    }
    for at in [flags, flags + 4, flags + 63 * FLAGS_LEN + 4] {
        outbox.write(at, &[255; 4]);
        read_all(&outbox.inbox, geometry);
    }
}

proptest! {
    /// An outbox full of random words, with sequence numbers that the reader accepts.
    #[test]
    fn a_whole_outbox_of_nonsense_does_no_harm(
        mut bytes in proptest::collection::vec(any::<u8>(), SMALL.total_len()),
        tame in any::<[bool; 4]>(),
    ) {
        for (index, tame) in tame.into_iter().enumerate() {
            let cell = &mut bytes[index * CELL_LEN..][..CELL_LEN];
            if index < 2 {
                let sequence = if index == 0 { 2u32 } else { 1 };
                cell[..4].copy_from_slice(&sequence.to_le_bytes());
            }
            if tame {
                // Everything is in range except the payload's block and length.
                cell[6] &= 1;
                cell[7] &= 0x11;
                cell[4] &= 1;
                cell[5] &= 1;
                cell[9] &= 1;
                cell[10..12].fill(0);
                cell[17..24].fill(0);
            }
        }
        let outbox = Outbox::new(SMALL.total_len());
        outbox.write(0, &bytes);
        read_all(&outbox.inbox, SMALL);
    }
}

/// What the scribbling thread needs to know to do most damage.
#[derive(Default)]
struct Hints {
    /// The number of the next call that will be taken.
    sequence: AtomicU32,
    is_over: AtomicBool,
}

/// Writes random words, and sometimes nearly correct ones, until told to stop.
fn scribble(outbox: &Outbox, hints: &Hints, mut seed: u64) {
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let len = outbox.inbox.len();
    while !hints.is_over.load(Ordering::Relaxed) {
        let dice = next();
        let at = (next() as usize % len) & !3;
        let word = WORDS[next() as usize % WORDS.len()].to_le_bytes();
        match dice % 4 {
            0 => outbox.write(at, &word),
            1 => outbox.write(at.min(len - 8), &next().to_le_bytes()[..8]),
            2 => {
                // A call with the right number, and every field nearly right.
                let sequence = hints.sequence.load(Ordering::Relaxed);
                let kind = (dice >> 8) as u8 & 0x11;
                let mut entry = [0; 24];
                entry[..4].copy_from_slice(&sequence.to_le_bytes());
                entry[6] = (dice >> 16) as u8 & 1;
                entry[7] = kind;
                let limit = if kind < 16 { 128 } else { 640 };
                let length = (dice >> 24) as u32 % limit;
                entry[8..12].copy_from_slice(&length.to_le_bytes());
                entry[16] = (dice >> 40) as u8 & 63;
                outbox.write(sequence as usize % 2 * CELL_LEN, &entry);
            }
            _ => {
                // A slot says that some call of late was answered, in the outbox's blocks.
                let slot = (dice >> 8) as usize & 1;
                let mut reply = [0; 24];
                reply[..4].copy_from_slice(&((dice >> 16) as u32 & 7).to_le_bytes());
                reply[5] = (dice >> 24) as u8 & 1;
                reply[8] = (dice >> 32) as u8;
                reply[16] = (dice >> 40) as u8 & 63;
                outbox.write((2 + slot) * CELL_LEN, &reply);
            }
        }
    }
}

/// Runs `work` while the peer scribbles.
fn beside_a_scribbler(outbox: &Outbox, work: impl FnOnce(&Hints)) {
    let hints = Hints::default();
    thread::scope(|scope| {
        scope.spawn(|| scribble(outbox, &hints, 0x9e37_79b9_7f4a_7c15));
        /// Stops the scribbler, also if an assertion fails.
        struct Stop<'a>(&'a Hints);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.is_over.store(true, Ordering::Relaxed);
            }
        }
        let stop = Stop(&hints);
        work(&hints);
        drop(stop);
    });
}

/// Words that change between two reads do no harm. Only an attacker changes them then.
#[test]
fn words_that_change_while_they_are_read_do_no_harm() {
    let outbox = Outbox::honest(SMALL);
    let (mut believed, mut refused) = (0, 0);
    beside_a_scribbler(&outbox, |hints| {
        let (mut reader, mut cell) = (RingReader::new(SMALL), Cell::default());
        let mut next = 1;
        // This takes some milliseconds; longer only if the peer gets no processor.
        for look in 0..20_000_000 {
            hints.sequence.store(next, Ordering::Relaxed);
            match reader.take(&outbox.inbox, &mut cell) {
                None if look % 64 == 0 => thread::yield_now(),
                None => {}
                Some(outcome) => {
                    next += 1;
                    match outcome {
                        Err(_) => refused += 1,
                        Ok(call) => {
                            assert!(u32::from(call.slot) < SMALL.entries());
                            read_payload(&outbox.inbox, SMALL, call.place, call.length);
                            believed += 1;
                        }
                    }
                }
            }
            read_slots(&outbox.inbox, SMALL);
            if believed > 100 && refused > 100 && look > 20_000 {
                break;
            }
        }
    });
    assert!(believed > 0 && refused > 0, "{believed} {refused}");
}

/// A provider that answers calls that it has not seen, or takes answers back: each slot still has one holder, and is
/// freed no more often than it was taken.
#[test]
fn a_slot_has_one_holder_whatever_the_provider_answers() {
    let outbox = Outbox::honest(SMALL);
    let (own, status) = (Outbox::honest(SMALL).writer(), Outbox::new(STATUS_LEN));
    let pending = Pending::new(SMALL);
    let abandoning = Abandoning {
        outbox: &own,
        geometry: SMALL,
        pending: &pending,
        waiter: Waiter::Reply,
    };
    let blocks = Blocks::new(Region::outbox(SMALL));
    let held: [AtomicBool; 2] = Default::default();
    let runs: [std::sync::Mutex<Option<blocks::Run>>; 2] = Default::default();
    let is_answered =
        |ticket: Ticket| slot::state(&outbox.inbox, SMALL, ticket.slot) == ticket.generation & 7;
    let give_back = |slot: u8| {
        let run = runs[usize::from(slot)].lock().unwrap().take();
        blocks.free(run.expect("a slot that was swept twice"));
        assert!(held[usize::from(slot)].swap(false, Ordering::SeqCst));
    };
    let sweeper = std::sync::Mutex::new(());
    let work = || {
        for round in 0..10_000 {
            let alone = sweeper.lock().unwrap();
            pending.sweep(is_answered, give_back);
            drop(alone);
            let Some(ticket) = pending.take(0) else {
                continue;
            };
            let place = usize::from(ticket.slot);
            assert!(!held[place].swap(true, Ordering::SeqCst));
            let run = blocks.allocate(100).expect("blocks that did not come back");
            *runs[place].lock().unwrap() = Some(run);
            if round % 3 == 0 {
                give_back(ticket.slot);
                pending.free(ticket);
            } else {
                let _ = abandoning.abandon(ticket, &status.inbox);
            }
        }
    };
    beside_a_scribbler(&outbox, |_| {
        thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    });
    pending.sweep(|_| true, give_back);
    assert_eq!(pending.in_flight(), 0);
    assert_eq!(blocks.taken(), 0);
}

/// Pages with arbitrary content: each is read as one of a few values, and no thread sleeps past
/// a deadline.
#[test]
fn pages_of_nonsense_do_no_harm() {
    let (status, bell) = (Outbox::new(STATUS_LEN), Outbox::new(DOORBELL_LEN));
    let doorbell = Doorbell::new(bell.writer());
    for word in WORDS {
        for at in [0, 64, 68, 72, 76, 80, 84] {
            status.write(at, &word.to_le_bytes());
            let _ = pages::look_after_publishing(&status.inbox);
            let _ = pages::counters(&status.inbox);
        }
        bell.write(0, &word.to_le_bytes());
        let seen = doorbell.value();
        assert_eq!(seen, word);
        let until = clock::now() + 1_000_000;
        doorbell.wait(seen, Some(until));
        assert!(clock::now() < until + 2_000_000_000);
        doorbell.wait(seen.wrapping_add(1), None);
        doorbell.ring();
    }
}
