//! Where a handler's result is archived: in the cell that is copied into the reply slot, if it fits.

use callgate_layout::Code;
use callgate_layout::envelope::Cell;
use callgate_layout::payload::Space;
use serde_json::Value;

use super::HandlerError;
use super::context::Context;
use crate::base::archive::{self, MAX_LEN, MAX_LEN_HERE};
use crate::base::buffers::{KEEP, Pool, Scratch, no_memory};
use crate::base::error::{Error, Result};
use crate::base::json::{self, JsonType};
use crate::base::types::{Failed, GateType};
use crate::link::Link;
use crate::link::extents::too_large;

/// The memory for one archived reply. It is used again for each call, so small replies need no allocation.
pub(crate) struct ReplyBuffer {
    /// All zeros except for the present reply. The cell is published in whole cache lines; without the zeros, bytes of
    /// an earlier reply would reach another caller.
    cell: Cell,
    overflow: Scratch,
    /// The length of the reply in `cell`; `None` if the reply is elsewhere.
    inline_length: Option<usize>,
    /// The space in an extent that has the reply, and its length, if it is not in `overflow`.
    room: Option<(Space, usize)>,
    /// The longest archive that is accepted.
    most: usize,
}

impl ReplyBuffer {
    /// An empty buffer for replies through a link.
    pub(crate) fn new() -> ReplyBuffer {
        ReplyBuffer::with(Scratch::fresh(), MAX_LEN)
    }

    /// An empty buffer for replies that stay in this process.
    pub(crate) fn here() -> ReplyBuffer {
        ReplyBuffer::with(Scratch::take(), MAX_LEN_HERE)
    }

    fn with(overflow: Scratch, most: usize) -> ReplyBuffer {
        ReplyBuffer {
            cell: Cell::default(),
            overflow,
            inline_length: Some(0),
            room: None,
            most,
        }
    }

    /// Archives a value, replacing the earlier reply.
    #[inline]
    pub(crate) fn put<T: GateType>(&mut self, value: &T) -> Result<()> {
        self.put_or(value, || None)
    }

    /// Archives the result of a call's handler. If it is long and the call came through a link, it is archived
    /// directly in an extent, if there is room.
    #[inline]
    pub(crate) fn put_result<T: GateType>(
        &mut self,
        value: &T,
        context: &Context<'_>,
    ) -> Result<()> {
        self.put_or(value, || context.link())
    }

    /// Writes the result of a call's handler as JSON, replacing the earlier reply.
    #[cold]
    pub(crate) fn put_json<T: JsonType>(&mut self, value: &T, context: &Context<'_>) -> Result<()> {
        self.put_text(value, context.link().map(Link::pool))
    }

    /// As [`ReplyBuffer::put_json`], outside of a handler.
    pub(super) fn put_value(&mut self, value: &Value) -> Result<()> {
        self.put_text(value, None)
    }

    fn put_text<T: JsonType>(&mut self, value: &T, pool: Option<&Pool>) -> Result<()> {
        self.clear(None);
        let written = json::write_result(value, &mut self.overflow, pool, self.most);
        if let Err(error) = written {
            self.recycle(None);
            // The handler has made this value, so it did run.
            return Err(error.maybe_run());
        }
        let length = self.overflow.len();
        self.inline_length = match self.cell.inline_mut().get_mut(..length) {
            Some(inline) => {
                inline.copy_from_slice(&self.overflow);
                Some(length)
            }
            None => None,
        };
        Ok(())
    }

    /// Puts a text of which the handler says that it is JSON; checks it, because no peer would accept anything
    /// else.
    pub(crate) fn put_json_text(&mut self, text: &[u8]) -> Result<()> {
        json::check_result(text).map_err(|error| {
            let text = format!(
                "what the handler gave back cannot travel as JSON: {}",
                error.message()
            );
            Error::from(HandlerError::new("NOT_JSON", text))
        })?;
        self.put_bytes(text)
    }

    /// Puts bytes as they are, replacing the earlier reply.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.clear(None);
        if let Some(inline) = self.cell.inline_mut().get_mut(..bytes.len()) {
            inline.copy_from_slice(bytes);
            self.inline_length = Some(bytes.len());
            return Ok(());
        }
        self.inline_length = None;
        let copied = match bytes.len() > self.most {
            true => Err(Failed::TooLong),
            false => {
                let into = self.overflow.renew(bytes.len());
                into.map(|into| into.copy_from_slice(bytes))
                    .map_err(Failed::OutOfMemory)
            }
        };
        copied.map_err(|why| {
            self.recycle(None);
            self.failed(why).maybe_run()
        })
    }

    #[inline]
    fn put_or<'l, T: GateType>(
        &mut self,
        value: &T,
        link: impl FnOnce() -> Option<&'l Link>,
    ) -> Result<()> {
        if self.inline_length != Some(0) {
            self.clear(None);
        }
        self.inline_length = archive::serialize_into(value, self.cell.inline_mut());
        if self.inline_length.is_some() {
            return Ok(());
        }
        self.put_large(value, link())
    }

    #[cold]
    fn put_large<T: GateType>(&mut self, value: &T, link: Option<&Link>) -> Result<()> {
        self.put_elsewhere(value, link).map_err(|why| {
            self.recycle(None);
            // The handler has made this value, so it did run.
            self.failed(why).maybe_run()
        })
    }

    fn put_elsewhere<T: GateType>(&mut self, value: &T, link: Option<&Link>) -> Result<(), Failed> {
        self.cell = Cell::default();
        let Some(link) = link else {
            return archive::serialize_vec(value, &mut self.overflow, None, self.most);
        };
        let Some(length) = link.archive(value, &mut self.overflow)? else {
            return Ok(());
        };
        if let Some(room) = link.space_at_once(length)
            && let Ok(filled) = link.fill(room, value)
        {
            self.room = Some(filled);
            return Ok(());
        }
        link.reserve(&mut self.overflow, length)?;
        link.archive_whole(value, &mut self.overflow)
    }

    fn failed(&self, why: Failed) -> Error {
        match why {
            Failed::OutOfMemory(why) => no_memory(why, "result"),
            Failed::Unfit(why) => why.error("results"),
            Failed::TooLong | Failed::SmallPieces | Failed::LargePiece => {
                too_large(Code::ResponseTooLarge, "results", self.most)
            }
        }
    }

    /// The archive; empty if it was written directly into an extent.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match (self.inline_length, &self.room) {
            (Some(length), _) => &self.cell.inline()[..length],
            (None, None) => &self.overflow,
            (None, Some(_)) => &[],
        }
    }

    /// The space in an extent that has the archive, and its length, if it was written there.
    pub(crate) fn take_space(&mut self) -> Option<(Space, usize)> {
        self.room.take()
    }

    /// The length of the archive in the cell; `None` if it is not there.
    #[inline]
    pub(crate) fn inline_length(&self) -> Option<usize> {
        self.inline_length
    }

    /// Whether the archive is in the cell.
    #[inline]
    pub(crate) fn is_inline(&self) -> bool {
        self.inline_length.is_some()
    }

    /// The cell, to be published: it holds the archive, or gets the place of it.
    #[inline]
    pub(crate) fn cell_mut(&mut self) -> &mut Cell {
        &mut self.cell
    }

    /// Removes the reply. Large memory goes to the pool of the plugin to which `link` belongs, or back to the
    /// system.
    #[inline]
    pub(crate) fn clear(&mut self, link: Option<&Link>) {
        if self.inline_length.is_none() {
            self.recycle(link);
        }
        self.inline_length = Some(0);
        self.cell = Cell::default();
    }

    #[cold]
    fn recycle(&mut self, link: Option<&Link>) {
        // Space is only left here unpublished if the link has ended.
        self.room = None;
        match link {
            Some(link) => link.recycle(&mut self.overflow),
            None if self.overflow.capacity() > KEEP => self.overflow = Scratch::fresh(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply whose caller had ended stayed in the buffer, and the end of it was published behind the next,
    /// shorter one.
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
