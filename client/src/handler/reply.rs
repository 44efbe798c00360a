//! Where a handler's result is archived: in the cell in which it travels, if it fits.

use callgate_layout::Code;
use callgate_layout::envelope::Cell;
use rkyv::util::AlignedVec;

use crate::archive::{self, MAX_LEN, MAX_LEN_HERE};
use crate::error::Result;
use crate::extents::too_large;
use crate::types::{GateType, TooLong};

/// Room for one archived reply, used again for every call: small ones need no allocation.
pub(crate) struct ReplyBuffer {
    /// All zeros but for what is put here, because it is published by whole cache lines: nobody
    /// finds what was meant for somebody else behind its reply.
    cell: Cell,
    overflow: AlignedVec<16>,
    /// The length of what is in `cell`; `None` when the reply is in `overflow`.
    inline_length: Option<usize>,
    /// The longest archive that it takes.
    most: usize,
}

impl ReplyBuffer {
    /// An empty buffer for what travels through a link.
    pub(crate) fn new() -> ReplyBuffer {
        ReplyBuffer::with_most(MAX_LEN)
    }

    /// An empty buffer for what stays in this process.
    pub(crate) fn here() -> ReplyBuffer {
        ReplyBuffer::with_most(MAX_LEN_HERE)
    }

    fn with_most(most: usize) -> ReplyBuffer {
        ReplyBuffer {
            cell: Cell::default(),
            overflow: AlignedVec::new(),
            inline_length: Some(0),
            most,
        }
    }

    /// Archives a value in place of what was there.
    #[inline]
    pub(crate) fn put<T: GateType>(&mut self, value: &T) -> Result<()> {
        if self.inline_length != Some(0) {
            self.cell = Cell::default();
        }
        self.inline_length = archive::serialize_into(value, self.cell.inline_mut());
        if self.inline_length.is_some() {
            return Ok(());
        }
        self.cell = Cell::default();
        let written = archive::serialize_vec(value, &mut self.overflow, self.most);
        written.map_err(|TooLong| {
            // It was the handler that made it, so that ran.
            too_large(Code::ResponseTooLarge, "results", self.most).maybe_run()
        })
    }

    /// The archive.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self.inline_length {
            Some(length) => &self.cell.inline()[..length],
            None => &self.overflow,
        }
    }

    /// Whether the archive stands in the cell.
    #[inline]
    pub(crate) fn is_inline(&self) -> bool {
        self.inline_length.is_some()
    }

    /// The cell, to be published: with the archive in it, or with room for its place.
    #[inline]
    pub(crate) fn cell_mut(&mut self) -> &mut Cell {
        &mut self.cell
    }

    /// Forgets the reply, and gives back the memory of one larger than `keep` bytes.
    #[inline]
    pub(crate) fn clear(&mut self, keep: usize) {
        self.inline_length = Some(0);
        self.cell = Cell::default();
        if self.overflow.capacity() > keep {
            self.overflow = AlignedVec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply whose caller had gone stayed in the buffer, and the tail of it was published behind
    /// the shorter one of the next.
    #[test]
    fn nothing_is_left_of_what_was_there_before() {
        let mut reply = ReplyBuffer::new();
        reply.put(&[0x55_u8; 100]).unwrap();
        reply.put(&7_u32).unwrap();
        assert_eq!(reply.bytes(), 7_u32.to_le_bytes());
        assert!(reply.cell.inline()[4..].iter().all(|byte| *byte == 0));
        // What does not fit leaves nothing either.
        reply.put(&vec![0x55_u8; 1000]).unwrap();
        assert!(!reply.is_inline());
        assert!(reply.cell.inline().iter().all(|byte| *byte == 0));
    }
}
