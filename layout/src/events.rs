//! Events: a ring that one plugin writes and any number of plugins read, and the words on which they wait for each other.
//!
//! ```text
//! ring            0 head u64       end of the last whole record
//!                 8 next u64       number of the next event
//!                64 oldest u64     start of the oldest record that is whole, the newest at most
//!               128 starving u32   how many of the sender's threads wait for cursors
//!               132 state u32      0 open, 1 closed
//!              4096 records, as many bytes as the ring's capacity
//!
//! record          0 length u32     bytes of payload, in 31 bits; and in the highest one 0 for an event, 1 for one that could not be
//!                                  written in this encoding: the payload is a text that says why
//!                 4 number u32     counts the source's events from 0: the low half of the number
//!                 8 time u64       nanoseconds since 1970
//!                16 payload, filled up with zeros to a multiple of 16
//! ```
//!
//! Positions count the bytes of records since the ring was made; where one lies is its remainder by the
//! capacity. A record's payload may go on at the ring's beginning. Zeroed memory is a valid empty ring.
//!
//! **Sync point** EVENT-PUBLISHED. The sender writes records and then `head` (release); a reader that loads `head`
//! (acquire) finds everything before it whole, or written over since.
//!
//! **Sync point** OLDEST-MOVED. Before the sender writes over records it moves `oldest` behind them, and fences
//! (release). A reader copies a record, fences (acquire), and looks at `oldest` again: if it sees any word of what was written
//! over it, it sees that `oldest` has moved, and throws its copy away. The store of `oldest` is a release as well: who sees it,
//! and fences (acquire), finds the record that is the oldest now, and a head and `next` behind that. It reads `next` and the record's
//! number, fences, and looks again, because that one may be written over by then. If `oldest` has not moved, there are fewer records
//! between the two than the ring holds, so the low half of the number says which it is.
//!
//! The sender never writes over the newest published record. So `oldest` lies before `head` once there was a record, and a
//! reader that was overtaken always finds how many events it has lost, even if the sender died in the middle of a write.
//!
//! [`cursor`] has the words that listeners write, and [`waking`] those by which senders and listeners wake each other.

mod ahead;
pub mod cursor;
mod marks;
mod reader;
mod run;
pub mod waking;
mod writer;

pub use ahead::Ahead;
pub use reader::{RingReader, Taken, shown};
pub use run::Run;
pub use waking::{TOPIC_WORDS, about_to_sleep, all_armed, is_armed};
pub use writer::RingWriter;

/// Bytes before the records of a ring.
#[cfg(not(callgate_loom))]
pub const RING_HEADER: usize = 4096;
/// Loom's memory has no use for a page.
#[cfg(callgate_loom)]
pub const RING_HEADER: usize = 136;

/// The smallest capacity of a ring, in bytes of records.
pub const MIN_CAPACITY: u32 = 64 << 10;
/// The largest capacity that a program may ask for.
pub const MAX_CAPACITY: u32 = 16 << 20;
/// The capacity where a program says nothing.
pub const DEFAULT_CAPACITY: u32 = 256 << 10;
/// A ring of JSON events is this many times as large as the ring of archives with the same events.
pub const TWIN_FACTOR: u32 = 4;

pub(crate) const HEAD: usize = 0;
pub(crate) const NEXT: usize = 8;
pub(crate) const OLDEST: usize = 64;
pub(crate) const STARVING: usize = 128;
pub(crate) const STATE: usize = 132;
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER: u64 = 16;
/// Records begin at multiples of this, and so do their payloads.
pub(crate) const ALIGNMENT: u64 = 16;
/// Bit of the length's word that marks an event which could not be written in this encoding.
const UNFIT: u32 = 1 << 31;

// The byte tables above, held against the code: whoever changes them changes the version.
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(HEAD == 0 && NEXT == 8 && OLDEST == 64 && STARVING == 128 && STATE == 132);
    assert!(RECORD_HEADER == 16 && ALIGNMENT == 16 && UNFIT == 1 << 31);
    // The longest payload leaves the highest bit of its length alone.
    assert!(most_payload((MAX_CAPACITY * TWIN_FACTOR) as u64) < UNFIT as usize);
};

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event,
    /// An event that could not be written in the ring's encoding; the payload is a text that says why.
    Unfit,
}

/// The header of a record, before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    len: usize,
    is_unfit: bool,
    /// The low half of the event's number.
    number: u32,
    time: u64,
}

impl Header {
    /// The header of a record that begins with these words.
    #[inline]
    fn new([first, time]: [u64; 2]) -> Header {
        Header {
            len: Header::len_of(first),
            is_unfit: first as u32 & UNFIT != 0,
            number: Header::number_of(first),
            time,
        }
    }

    /// The length of the payload of a record whose first word this is.
    #[inline]
    fn len_of(first: u64) -> usize {
        (first as u32 & !UNFIT) as usize
    }

    /// The low half of its number.
    #[inline]
    fn number_of(first: u64) -> u32 {
        (first >> 32) as u32
    }

    #[inline]
    fn words(&self) -> [u64; 2] {
        let unfit = if self.is_unfit { UNFIT } else { 0 };
        let len = self.len as u32 | unfit;
        [u64::from(len) | u64::from(self.number) << 32, self.time]
    }
}

/// The positions between which the records of a ring lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Start of the oldest.
    pub oldest: u64,
    /// End of the newest.
    pub head: u64,
}

/// The least capacity with which a ring works: a quarter of it has room for a record with a payload of one word.
const LEAST_CAPACITY: u64 = 128;

/// Bytes of memory of a ring of this capacity.
pub const fn ring_len(capacity: u32) -> u32 {
    RING_HEADER as u32 + capacity
}

/// The capacity of a ring whose memory has `len` bytes; `None` if no ring has that length.
pub fn capacity_of(len: u32) -> Option<u32> {
    let capacity = len.checked_sub(RING_HEADER as u32)?;
    let most = MAX_CAPACITY * TWIN_FACTOR;
    let is_one = capacity.is_power_of_two() && (MIN_CAPACITY..=most).contains(&capacity);
    is_one.then_some(capacity)
}

/// The longest payload of an event in a ring of this capacity: a record takes a quarter of it at most.
pub const fn most_payload(capacity: u64) -> usize {
    (capacity / 4 - RECORD_HEADER) as usize
}

/// Bytes of a record with such a payload.
#[inline]
const fn record_len(payload: usize) -> u64 {
    (RECORD_HEADER + payload as u64).next_multiple_of(ALIGNMENT)
}

/// Where a position lies in a ring's memory, and how many bytes there are from there to its end.
#[inline]
fn place(position: u64, capacity: u64) -> (usize, usize) {
    let at = position & (capacity - 1);
    (RING_HEADER + at as usize, (capacity - at) as usize)
}
