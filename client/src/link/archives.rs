//! Values that do not fit a cell, on their way into this side's memory.

use callgate_layout::buffer::Buffer;
use callgate_layout::payload::Space;

use super::{Held, Link};
use crate::base::archive::{self, MAX_LEN};
use crate::base::types::{Failed, GateType};

impl Link {
    /// Archives a value into a buffer; or says how long its archive will be, where it is to be
    /// written straight into an extent instead, because it is made of large pieces.
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

    /// Archives a value into a buffer, whatever it is made of.
    pub(crate) fn archive_whole<T: GateType>(
        &self,
        value: &T,
        buffer: &mut Buffer,
    ) -> Result<(), Failed> {
        archive::serialize_vec(value, buffer, Some(self.pool()), MAX_LEN)
    }

    /// Archives a value into space for it, and says how long it became. Where it fails or panics the
    /// space is free again.
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

/// Space that is being filled.
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
