//! Calls with typed arguments and a typed result: archives on top of calls of bytes.

use callgate_layout::Encoding;
use callgate_layout::envelope::{Cell, Chain};
use callgate_layout::payload::Space;

use super::bytes::{self, Answer, LargeAnswer, Request, Written};
use super::decode::decode;
use super::large;
use super::target::Target;
use crate::base::archive;
use crate::base::buffers::Scratch;
use crate::base::error::Result;
use crate::base::types::GateType;

/// Arguments, sent as their archive.
struct Arguments<'a, A>(&'a A);

impl<A: GateType> Request for Arguments<'_, A> {
    #[inline(always)]
    fn encoding(&self) -> Encoding {
        Encoding::Archive
    }

    #[inline(always)]
    fn write_inline(&self, into: &mut [u8]) -> Option<usize> {
        archive::serialize_into(self.0, into)
    }

    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written> {
        large::write(target, chain, self.0)
    }
}

/// Calls a gate and waits for the result.
#[inline(always)]
pub(crate) fn call<A: GateType, R: GateType>(target: &Target<'_>, arguments: &A) -> Result<R> {
    let mut cell = Cell::default();
    let answer = bytes::call(target, &Arguments(arguments), &mut cell)?;
    value(target, answer, &cell)
}

/// Calls a gate with a payload that the caller has filled in shared memory, and waits for the result. Returns the
/// payload's space if the provider does not use it any more.
pub(crate) fn call_loaned<R: GateType>(
    target: &Target<'_>,
    space: Space,
) -> (Result<R>, Option<Space>) {
    let mut cell = Cell::default();
    let (answer, space) = bytes::call_loaned(target, space, &mut cell);
    let value = answer.and_then(|answer| value(target, answer, &cell));
    (value, space)
}

#[inline(always)]
fn value<R: GateType>(target: &Target<'_>, answer: Answer<'_>, cell: &Cell) -> Result<R> {
    match answer {
        Answer::Inline(ok, length) => decode(ok, &cell.inline()[..length]),
        Answer::Large(answer) => large_value(target, answer),
    }
}

#[cold]
fn large_value<R: GateType>(target: &Target<'_>, answer: LargeAnswer<'_>) -> Result<R> {
    let ok = answer.is_ok();
    if ok && let Some(value) = answer.take_direct()? {
        return Ok(value);
    }
    let mut scratch = Scratch::take();
    answer.copy(&mut scratch)?;
    let value = decode(ok, &scratch);
    target.to.link.recycle(&mut scratch);
    value
}
