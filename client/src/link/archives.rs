//! Archiving values that do not fit a cell, into buffers or into this side's shared memory.

use callgate_layout::buffer::Buffer;
use callgate_layout::payload::Space;

use super::{Held, Link};
use crate::base::archive::{self, MAX_LEN};
use crate::base::types::{Failed, GateType};

impl Link {
    /// Archives a value in a buffer. If it is large and consists of large pieces, only measures it and returns the
    /// archive's length: then the caller archives it directly in an extent.
    pub(crate) fn archive<T: GateType>(
        &self,
        value: &T,
        buffer: &mut Buffer,
    ) -> Result<Option<usize>, Failed> {
        match archive::attempt(value, buffer, self.pool()) {
            Err(Failed::LargePiece) => {}
            outcome => return outcome.map(|()| None),
        }
        match archive::count(value, MAX_LEN) {
            Ok(length) if length > self.blocks_len() => return Ok(Some(length)),
            Ok(length) => self.reserve(buffer, length)?,
            Err(Failed::SmallPieces) => {}
            Err(why) => return Err(why),
        }
        self.archive_whole(value, buffer).map(|()| None)
    }

    /// Archives a value in a buffer, whatever it consists of.
    pub(crate) fn archive_whole<T: GateType>(
        &self,
        value: &T,
        buffer: &mut Buffer,
    ) -> Result<(), Failed> {
        archive::serialize_vec(value, buffer, Some(self.pool()), MAX_LEN)
    }

    /// Archives a value directly in shared memory, and returns the archive's length. If that fails or panics, the
    /// space is freed.
    pub(crate) fn fill<T: GateType>(
        &self,
        space: Space,
        value: &T,
    ) -> Result<(Space, usize), Failed> {
        let mut filling = Filling {
            link: self,
            space: Some(space),
        };
        let bytes = filling
            .space
            .as_mut()
            .map_or(&mut [][..], Space::as_mut_slice);
        let length = archive::serialize_in(value, bytes)?;
        filling
            .space
            .take()
            .map_or(Err(Failed::TooLong), |space| Ok((space, length)))
    }
}

/// Space that is being filled; dropping this frees it.
struct Filling<'a> {
    link: &'a Link,
    space: Option<Space>,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if let Some(space) = self.space.take() {
            self.link.free_unsent(Held::Extent(space));
        }
    }
}
