//! Records that were copied out of a ring together.

use core::ops::Range;

use super::{Header, Kind, RECORD_HEADER, record_len};
use crate::buffer::{Buffer, OutOfMemory};

/// Bytes of a record before its payload.
const HEADER: usize = RECORD_HEADER as usize;

/// A private copy of several records of a ring. The reader copies and checks them together, and takes the events one by one.
#[derive(Debug, Default)]
pub struct Run {
    buffer: Buffer,
    /// Where the next record begins, and the bytes end.
    next: usize,
    end: usize,
    /// The event that was taken last.
    payload: Range<usize>,
    is_unfit: bool,
    time: u64,
}

impl Run {
    /// An empty run that uses this memory.
    pub fn new(buffer: Buffer) -> Run {
        Run {
            buffer,
            ..Run::default()
        }
    }

    /// The memory.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Drops the records that were not taken.
    pub fn clear(&mut self) {
        self.end = self.next;
    }

    /// Whether everything was taken.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.next == self.end
    }

    /// Whether nothing was taken yet.
    pub(super) fn is_whole(&self) -> bool {
        self.next == 0
    }

    /// The place for a copy of `len` bytes of records, in place of the old ones. None of them is taken before
    /// [`Run::show`].
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Result<&mut [u8], OutOfMemory> {
        self.clear();
        self.payload = 0..0;
        self.buffer.renew(len)
    }

    /// Makes the copied records available: the sender did not write over them during the copy.
    #[inline]
    pub(super) fn show(&mut self) {
        (self.next, self.end) = (0, self.buffer.len());
    }

    /// The header of the next record; `None` if the run ends before the header does.
    #[inline]
    pub(super) fn header(&self) -> Option<Header> {
        let words = self.buffer.get(self.next..self.end)?.as_chunks::<8>().0;
        let words = words.first_chunk::<2>()?;
        Some(Header::new(words.map(u64::from_ne_bytes)))
    }

    /// Takes the record that has this header and returns its length in bytes; `None` if the run ends before the record does.
    #[inline]
    pub(super) fn take(&mut self, header: &Header) -> Option<u64> {
        let len = record_len(header.len);
        let next = self.next + len as usize;
        if next > self.end {
            return None;
        }
        let begin = self.next + HEADER;
        self.payload = begin..begin + header.len;
        (self.is_unfit, self.time) = (header.is_unfit, header.time);
        self.next = next;
        Some(len)
    }

    /// The payload of the event that was taken last, at a multiple of 16, as it lay in the ring.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.buffer[self.payload.clone()]
    }

    /// The kind of the event that was taken last.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.is_unfit {
            false => Kind::Event,
            true => Kind::Unfit,
        }
    }

    /// When it was sent, in nanoseconds since 1970.
    #[inline]
    pub fn time(&self) -> u64 {
        self.time
    }
}
