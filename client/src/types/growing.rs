//! Where archives of any size are written.

use rkyv::rancor::{Source, fail};
use rkyv::ser::{Positional, Writer};
use rkyv::util::AlignedVec;

/// Memory that grows with an archive, up to a limit. Without one rkyv would panic where its 32-bit
/// pointers do not reach.
#[derive(Debug)]
pub struct Growing {
    bytes: AlignedVec<16>,
    most: usize,
}

impl Growing {
    /// Memory with nothing in it, which may grow to `most` bytes.
    pub(crate) fn new(bytes: AlignedVec<16>, most: usize) -> Growing {
        Growing { bytes, most }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> AlignedVec<16> {
        self.bytes
    }
}

impl Positional for Growing {
    fn pos(&self) -> usize {
        self.bytes.len()
    }
}

impl<E: Source> Writer<E> for Growing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        if bytes.len() > self.most - self.bytes.len() {
            fail!(TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// An archive would be longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("longer than an archive may be")]
pub(crate) struct TooLong;
