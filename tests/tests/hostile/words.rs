//! The offsets of the words in an outbox, from the byte tables in ARCHITECTURE.md.

use callgate_layout::clock;
use callgate_layout::envelope::{Cell, Place, Reply};
use callgate_layout::hostile::poke;
use callgate_layout::view::WriteView;
use callgate_layout::{Code, Geometry, slot};
use callgate_tests::proc;
use callgate_tests::random::Random;
use callgate_tests::raw::Link;

pub(crate) const REPLIES: usize = 8192;
pub(crate) const FLAGS: usize = 16384;
pub(crate) const BLOCKS: usize = 20480;
pub(crate) const END: usize = 86016;

/// The envelope of a call, for tests that make it wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u32,
    pub(crate) gate: u16,
    pub(crate) slot: u8,
    pub(crate) kind: u8,
    pub(crate) length: u32,
    pub(crate) deadline: u32,
    pub(crate) payload: [u64; 2],
}

impl Entry {
    /// The call number `sequence` of `Add` with 20 and 22.
    pub(crate) fn add(sequence: u32, gate: u16) -> Entry {
        Entry {
            sequence,
            gate,
            slot: 0,
            kind: 0,
            length: 16,
            deadline: clock::to_tick(clock::now() + 5_000_000_000),
            payload: [20, 22],
        }
    }

    /// Writes it as a caller does, the first word last, and rings.
    pub(crate) fn write(self, link: &Link) {
        let at = (self.sequence as usize % 64) * 128;
        poke(&link.outbox, at + 16, self.payload[0]);
        poke(&link.outbox, at + 24, self.payload[1]);
        poke(
            &link.outbox,
            at + 8,
            u64::from(self.length) | u64::from(self.deadline) << 32,
        );
        let tail = u64::from(self.gate) | u64::from(self.slot) << 16 | u64::from(self.kind) << 24;
        poke(&link.outbox, at, u64::from(self.sequence) | tail << 32);
        link.peer().bell.ring();
    }
}

/// Waits for the answer number `generation` in a slot. Its first bytes are in the cell.
pub(crate) fn answer(link: &Link, slot: u8, generation: u32) -> (Reply, Cell) {
    let inbox = &link.peer().inbox;
    proc::eventually("an answer", || {
        match slot::state(inbox, Geometry::DEFAULT, slot) {
            state if state == generation => Ok(()),
            state => Err(format!("state {state} of slot {slot}")),
        }
    });
    let mut cell = Cell::default();
    let reply = slot::read(inbox, Geometry::DEFAULT, slot, &mut cell).expect("an honest reply");
    (reply, cell)
}

/// The code in an answer that is an error: the first field of the record for errors, which is at the end of the
/// archive.
pub(crate) fn code(reply: &Reply, cell: &Cell) -> Code {
    const RECORD: usize = 28;
    assert!(!reply.ok && reply.place == Place::Inline, "{reply:?}");
    let at = reply.length as usize - RECORD;
    let bytes = &cell.inline()[at..at + 2];
    let number = u16::from_le_bytes(bytes.try_into().expect("two bytes"));
    Code::from_u16(number).expect("a code that is known")
}

/// Writes a reply as a provider does, the state last.
pub(crate) fn reply(outbox: &WriteView, slot: u8, words: [u64; 4]) {
    let at = REPLIES + usize::from(slot) * 128;
    for word in (0..4).rev() {
        poke(outbox, at + word * 8, words[word]);
    }
}

/// Writes any word at any place.
pub(crate) fn scribble(outbox: &WriteView, random: &mut Random) {
    let at = random.below(END / 8) * 8;
    let word = match random.below(4) {
        0 => 0,
        1 => u64::MAX,
        2 => random.number() & 0x0000_00ff_0000_003f,
        _ => random.number(),
    };
    poke(outbox, at, word);
}
