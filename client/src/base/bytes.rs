//! Bytes with the alignment of archives.

use std::ops::Deref;

use rkyv::util::AlignedVec;

/// The bytes of an answer. The first one is aligned to 16, so that they can be read as an archive.
#[derive(Clone, Debug, Default)]
pub struct Bytes(AlignedVec<16>);

impl Bytes {
    /// A copy of some bytes.
    pub(crate) fn copy(bytes: &[u8]) -> Bytes {
        let mut copy = AlignedVec::with_capacity(bytes.len());
        copy.extend_from_slice(bytes);
        Bytes(copy)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
