//! Records that were copied out of a ring together.

use core::ops::Range;

use super::{Header, Kind, RECORD_HEADER, record_len};
use crate::buffer::{Buffer, OutOfMemory};

/// Bytes of a record before its payload.
const HEADER: usize = RECORD_HEADER as usize;

/// A piece of a ring in private memory: it was copied and looked at as a whole, and its events are taken one by one.
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
    /// One that takes this memory.
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

    /// Forgets what was not taken.
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

    /// Where so many bytes of records are copied to, in the place of what was there. They are not taken before
    /// [`Run::show`].
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Result<&mut [u8], OutOfMemory> {
        self.clear();
        self.payload = 0..0;
        self.buffer.renew(len)
    }

    /// The copy was looked at, and is whole.
    #[inline]
    pub(super) fn show(&mut self) {
        (self.next, self.end) = (0, self.buffer.len());
    }

    /// The header of the next record; `None` where there is not even that.
    #[inline]
    pub(super) fn header(&self) -> Option<Header> {
        let words = self.buffer.get(self.next..self.end)?.as_chunks::<8>().0;
        let words = words.first_chunk::<2>()?;
        Some(Header::new(words.map(u64::from_ne_bytes)))
    }

    /// Takes the record that has this header; how many bytes it has. `None` where not all of it is here.
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

    /// What that event is.
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
