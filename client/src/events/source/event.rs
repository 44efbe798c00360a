//! Events as they are sent: written before the source is locked, because what the program's types do there is not known.

use std::borrow::Borrow;
use std::marker::PhantomData;

use callgate_layout::Code;
use callgate_layout::events::Kind;
use serde_json::Value;

use crate::base::archive::{self, OnStack};
use crate::base::buffers::{Scratch, no_memory};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::{Arguments, Failed};

/// An event as the rings of its source take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    pub(super) archive: Option<&'a [u8]>,
    pub(super) json: Option<(Kind, &'a [u8])>,
}

/// What is sent.
pub(crate) trait Event {
    /// Archives it, in at most `most` bytes, and does something with that.
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R>;

    /// Archives it into memory that is aligned to 16; how long it is, if it fits.
    fn archive_into(&self, into: &mut [u8]) -> Option<usize>;

    /// Writes it as JSON, in at most `most` bytes, in place of what was in the buffer.
    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()>;
}

/// Arguments of types that are known when the program is compiled.
pub(crate) struct Typed<'a, A>(pub(crate) &'a A);

impl<A: Arguments> Event for Typed<'_, A> {
    #[inline(always)]
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut on_stack = OnStack::new();
        // Every ring takes what fits there.
        if let Some(archive) = on_stack.serialize(self.0) {
            return Ok(then(&archive));
        }
        with_long_archive(self.0, most, then)
    }

    fn archive_into(&self, into: &mut [u8]) -> Option<usize> {
        archive::serialize_into(self.0, into)
    }

    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()> {
        json::write_arguments(self.0, out, None, most)
    }
}

/// The same where they are the program's, or only lent by it.
pub(crate) struct Kept<E, A>(pub(crate) E, pub(crate) PhantomData<fn(A)>);

impl<E: Borrow<A>, A: Arguments> Event for Kept<E, A> {
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Typed(self.0.borrow()).with_archive(most, then)
    }

    fn archive_into(&self, into: &mut [u8]) -> Option<usize> {
        Typed(self.0.borrow()).archive_into(into)
    }

    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()> {
        Typed(self.0.borrow()).write_json(out, most)
    }
}

#[cold]
fn with_long_archive<A: Arguments, R>(
    arguments: &A,
    most: usize,
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R> {
    let mut scratch = Scratch::take();
    archive::serialize_vec(arguments, &mut scratch, None, most).map_err(|why| match why {
        Failed::OutOfMemory(why) => no_memory(why, "event"),
        Failed::Unfit(why) => why.error("event"),
        Failed::TooLong | Failed::SmallPieces | Failed::LargePiece => too_large(most),
    })?;
    Ok(then(&scratch))
}

/// Arguments that somebody else has written, in the one encoding that the source has.
pub(crate) enum Written<'a> {
    Archive(&'a [u8]),
    Json(&'a [u8]),
}

impl Event for Written<'_> {
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match *self {
            Written::Archive(bytes) if bytes.len() <= most => Ok(then(bytes)),
            Written::Archive(_) => Err(too_large(most)),
            Written::Json(_) => Err(not_offered("archives")),
        }
    }

    fn archive_into(&self, into: &mut [u8]) -> Option<usize> {
        let Written::Archive(bytes) = *self else {
            return None;
        };
        into.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(bytes.len())
    }

    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()> {
        match *self {
            Written::Json(text) if text.len() <= most => {
                out.clear();
                out.extend(text).map_err(|why| no_memory(why, "event"))
            }
            Written::Json(_) => Err(too_large(most)),
            Written::Archive(_) => Err(not_offered("JSON")),
        }
    }
}

/// Values, for a source that writes JSON alone.
pub(crate) struct Values<'a>(pub(crate) &'a [Value]);

impl Event for Values<'_> {
    fn with_archive<R>(&self, _: usize, _: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Err(not_offered("archives"))
    }

    fn archive_into(&self, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()> {
        json::write_values(self.0, out, None, most)
    }
}

/// The error for a ring that the source has not said that it can write.
#[cold]
pub(super) fn not_offered(what: &str) -> Error {
    let text =
        format!("the broker has asked for a ring of {what}, which this source does not write");
    Error::new(Code::Protocol, text)
}

#[cold]
fn too_large(most: usize) -> Error {
    let text = format!(
        "the event is longer than {most} bytes, a quarter of its topic's capacity, and was not sent: offer the topic with \
         more (TopicOptions::capacity), or send less at a time"
    );
    Error::new(Code::RequestTooLarge, text)
}
