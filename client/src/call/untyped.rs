//! A call of bytes that nobody here looks into: what travels is what is given.

use callgate_layout::envelope::{Cell, Chain};

use super::bytes::{self, Answer, Request, Written};
use super::decode::decode_error;
use super::large;
use super::target::Target;
use crate::base::buffers::Scratch;
use crate::base::bytes::Bytes;
use crate::base::error::Result;
use crate::link::Link;

impl Request for &[u8] {
    fn write_inline(&self, into: &mut [u8]) -> Option<usize> {
        into.get_mut(..self.len())?.copy_from_slice(self);
        Some(self.len())
    }

    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written> {
        large::write_bytes(target, chain, self)
    }
}

/// Calls a gate and waits for the result.
pub(crate) fn call(target: &Target<'_>, request: &[u8]) -> Result<Bytes> {
    let mut cell = Cell::default();
    let answer = bytes::call(target, &request, &mut cell)?;
    into_bytes(target.to.link, answer, &cell)
}

/// Copies an answer, which may still lie where the provider has put it.
pub(super) fn into_bytes(link: &Link, answer: Answer<'_>, cell: &Cell) -> Result<Bytes> {
    let outcome = |ok: bool, bytes: &[u8]| match ok {
        true => Ok(Bytes::copy(bytes)),
        false => Err(decode_error(bytes)),
    };
    match answer {
        Answer::Inline(ok, length) => outcome(ok, &cell.inline()[..length]),
        Answer::Large(answer) => {
            let (ok, mut scratch) = (answer.is_ok(), Scratch::take());
            answer.copy(&mut scratch)?;
            let outcome = outcome(ok, &scratch);
            link.recycle(&mut scratch);
            outcome
        }
    }
}
