//! Where a handler's result is archived before it goes into the outbox.

use rkyv::util::AlignedVec;

use crate::types::GateType;
use crate::{Result, archive};

/// As much as a reply slot holds.
pub(crate) const INLINE: usize = 112;

#[repr(C, align(16))]
struct Inline([u8; INLINE]);

/// Room for one archived reply, used again for every call: small ones need no allocation.
pub(crate) struct ReplyBuffer {
    inline: Inline,
    overflow: AlignedVec<16>,
    /// The length of what is in `inline`; `None` when the reply is in `overflow`.
    inline_length: Option<usize>,
}

impl ReplyBuffer {
    /// An empty buffer.
    pub(crate) fn new() -> ReplyBuffer {
        let inline = Inline([0; INLINE]);
        ReplyBuffer {
            inline,
            overflow: AlignedVec::new(),
            inline_length: Some(0),
        }
    }

    /// Archives a value in place of what was there.
    pub(crate) fn put<T: GateType>(&mut self, value: &T) -> Result<()> {
        self.inline_length = archive::serialize_into(value, &mut self.inline.0);
        match self.inline_length {
            Some(_) => Ok(()),
            None => archive::serialize_vec(value, &mut self.overflow),
        }
    }

    /// The archive.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self.inline_length {
            Some(length) => &self.inline.0[..length],
            None => &self.overflow,
        }
    }

    /// Forgets the reply, and gives back the memory of one larger than `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.inline_length = Some(0);
        if self.overflow.capacity() > keep {
            self.overflow = AlignedVec::new();
        }
    }
}
