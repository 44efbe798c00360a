//! Reading the bytes of an answer: a value, or an error.

use crate::base::archive::{self, ErrorRecord};
use crate::base::buffers::{KEEP, no_memory, probe};
use crate::base::error::{Error, Result};
use crate::base::types::GateType;

/// Reads a value from a result's archive, or an error from an error's archive.
#[inline(always)]
pub(crate) fn decode<R: GateType>(ok: bool, payload: &[u8]) -> Result<R> {
    if !ok {
        return Err(decode_error(payload));
    }
    // The handler did run, even if its result cannot be read.
    let value = archive::access::<R>(payload).and_then(|archived| {
        if std::mem::needs_drop::<R>() {
            check_memory(payload, "result")?;
        }
        archive::deserialize::<R>(archived)
    });
    value.map_err(Error::maybe_run)
}

/// Checks that there is enough memory before a value is made of a long archive, or the archive is copied.
#[inline]
pub(super) fn check_memory(payload: &[u8], what: &str) -> Result<()> {
    if payload.len() <= KEEP {
        return Ok(());
    }
    probe(payload.len()).map_err(|why| no_memory(why, what))
}

/// Reads an error from an error's archive.
#[cold]
pub(super) fn decode_error(payload: &[u8]) -> Error {
    let record = check_memory(payload, "error")
        .and_then(|()| archive::access::<ErrorRecord>(payload))
        .and_then(archive::deserialize);
    match record {
        Ok(record) => ErrorRecord::into(record),
        Err(error) => error.maybe_run(),
    }
}
