//! Events before they are sent. They are encoded before the source is locked, because that may run code of the
//! program.

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

/// An event, in the encodings that the rings of its source need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    pub(super) archive: Option<&'a [u8]>,
    pub(super) json: Option<(Kind, &'a [u8])>,
}

/// An event to be sent.
pub(crate) trait Event {
    /// Archives it in at most `most` bytes, and passes the archive to `then`.
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R>;

    /// Archives it into memory that is aligned to 16. Returns the length, or `None` if it does not fit.
    fn archive_into(&self, into: &mut [u8]) -> Option<usize>;

    /// Writes it as JSON, in at most `most` bytes, replacing the buffer's content.
    fn write_json(&self, out: &mut Scratch, most: usize) -> Result<()>;
}

/// Arguments of types that are known at compile time.
pub(crate) struct Typed<'a, A>(pub(crate) &'a A);

impl<A: Arguments> Event for Typed<'_, A> {
    #[inline(always)]
    fn with_archive<R>(&self, most: usize, then: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut on_stack = OnStack::new();
        // What fits on the stack is short enough for every ring.
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

/// The same, for values that are owned or borrowed.
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

/// Arguments that the program has encoded itself, in the only encoding that the source offers.
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

/// JSON values, for a source that offers only JSON.
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

/// The error for a broker that asks for a ring in an encoding which the source does not offer.
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
