//! A call whose types differ from the provider's: arguments and result are sent as JSON.

use std::cell::RefCell;

use callgate_layout::Encoding;
use callgate_layout::envelope::{Cell, Chain};

use super::bytes::{self, Answer, LargeAnswer, Request, Written};
use super::decode::{check_memory, decode_error};
use super::large;
use super::target::Target;
use crate::base::archive::MAX_LEN;
use crate::base::buffers::Scratch;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::{Arguments, GateType};

/// Arguments, written as JSON.
struct Text(RefCell<Scratch>);

impl Request for Text {
    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn write_inline(&self, into: &mut [u8]) -> Option<usize> {
        let text = self.0.borrow();
        into.get_mut(..text.len())?.copy_from_slice(&text);
        Some(text.len())
    }

    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written> {
        // Frees the text's memory before the wait for the answer.
        let mut text = self.0.replace(Scratch::fresh());
        let written = large::write_bytes(target, chain, &text);
        target.to.link.recycle(&mut text);
        written
    }
}

/// Calls a gate and waits for the result.
#[cold]
pub(crate) fn call<A: Arguments, R: GateType>(target: &Target<'_>, arguments: &A) -> Result<R> {
    let mut text = Scratch::take();
    let pool = Some(target.to.link.pool());
    json::write_arguments(arguments, &mut text, pool, MAX_LEN)?;
    let mut cell = Cell::default();
    match bytes::call(target, &Text(RefCell::new(text)), &mut cell)? {
        Answer::Inline(ok, length) => decode(ok, &cell.inline()[..length]),
        Answer::Large(answer) => large_value(target, answer),
    }
}

fn large_value<R: GateType>(target: &Target<'_>, answer: LargeAnswer<'_>) -> Result<R> {
    let (ok, mut scratch) = (answer.is_ok(), Scratch::take());
    answer.copy(&mut scratch)?;
    let value = decode(ok, &scratch);
    target.to.link.recycle(&mut scratch);
    value
}

/// Reads a value from a result's JSON, or an error from an error's archive. An action's result has no bytes.
pub(super) fn decode<R: GateType>(ok: bool, payload: &[u8]) -> Result<R> {
    if !ok {
        return Err(decode_error(payload));
    }
    let text = if payload.is_empty() { b"null" } else { payload };
    // The handler did run, even if its result cannot be read.
    let value = check_memory(text, "result").and_then(|()| json::read_result(text));
    value.map_err(Error::maybe_run)
}
