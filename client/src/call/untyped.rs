//! Calls with bytes that this side does not interpret.

use callgate_layout::envelope::{Cell, Chain};
use callgate_layout::{Code, Encoding};

use super::bytes::{self, Answer, Request, Written};
use super::decode::{check_memory, decode_error};
use super::large;
use super::target::Target;
use crate::base::archive::MAX_LEN;
use crate::base::buffers::Scratch;
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::link::Link;
use crate::link::extents::too_large;

/// Bytes that are sent as they are.
struct AsTheyAre<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
}

impl Request for AsTheyAre<'_> {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn write_inline(&self, into: &mut [u8]) -> Option<usize> {
        let length = self.bytes.len();
        into.get_mut(..length)?.copy_from_slice(self.bytes);
        Some(length)
    }

    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written> {
        large::write_bytes(target, chain, self.bytes)
    }
}

/// Calls a gate and waits for the result.
pub(crate) fn call(target: &Target<'_>, encoding: Encoding, bytes: &[u8]) -> Result<Bytes> {
    let mut cell = Cell::default();
    let request = AsTheyAre { encoding, bytes };
    let answer = bytes::call(target, &request, &mut cell)?;
    into_bytes(target.to.link, answer, &cell)
}

/// Copies a request, because it may have to wait for a slot.
pub(crate) fn outbound(request: &[u8]) -> Result<Box<[u8]>> {
    if request.len() > MAX_LEN {
        return Err(too_large(Code::RequestTooLarge, "bytes", MAX_LEN));
    }
    check_memory(request, "arguments")?;
    Ok(request.into())
}

/// Copies an answer, which may still lie in shared memory.
pub(super) fn into_bytes(link: &Link, answer: Answer<'_>, cell: &Cell) -> Result<Bytes> {
    let outcome = |ok: bool, bytes: &[u8]| match ok {
        true => check_memory(bytes, "result")
            .map(|()| Bytes::copy(bytes))
            .map_err(Error::maybe_run),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as long as the longest memory were refused, or longer ones waited for memory that no broker gives.
    #[test]
    fn a_request_may_be_as_long_as_the_longest_memory() {
        let bytes = vec![0; MAX_LEN + 1];
        assert!(outbound(&bytes[..MAX_LEN]).is_ok());
        let why = outbound(&bytes).unwrap_err();
        assert_eq!(why.code(), Code::RequestTooLarge);
    }
}
