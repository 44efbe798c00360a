//! Where a handler's result is archived: in the cell in which it travels, if it fits.

use callgate_layout::envelope::Cell;
use rkyv::util::AlignedVec;

use crate::types::GateType;
use crate::{Result, archive};

/// Room for one archived reply, used again for every call: small ones need no allocation.
pub(crate) struct ReplyBuffer {
    /// All zeros but for what is put here, because it is published by whole cache lines: nobody
    /// finds what was meant for somebody else behind its reply.
    cell: Cell,
    overflow: AlignedVec<16>,
    /// The length of what is in `cell`; `None` when the reply is in `overflow`.
    inline_length: Option<usize>,
}

impl ReplyBuffer {
    /// An empty buffer.
    pub(crate) fn new() -> ReplyBuffer {
        ReplyBuffer {
            cell: Cell::default(),
            overflow: AlignedVec::new(),
            inline_length: Some(0),
        }
    }

    /// Archives a value in place of what was there.
    #[inline]
    pub(crate) fn put<T: GateType>(&mut self, value: &T) -> Result<()> {
        self.inline_length = archive::serialize_into(value, self.cell.inline_mut());
        if self.inline_length.is_some() {
            return Ok(());
        }
        self.cell = Cell::default();
        archive::serialize_vec(value, &mut self.overflow)
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
