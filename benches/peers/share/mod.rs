//! Shares: bytes of one process that another one is to read.
//!
//! - `share/get`: getting what the plugin has already, in one process; the limit is cloning and dropping an `Arc`. `callgate` gets it by
//!   its tag, `callgate-latest` through a handle that follows its versions, `callgate-clone` clones a guard.
//! - `share/first-get/64MiB`: until who asks has the bytes and has looked at one of each page. What was got is let go after each time,
//!   so each is a first one. `callgate-map` does not look.
//! - `share/publish`: new bytes are written and published; who waits for them looks at one of each page and says so by a socket, which is
//!   the same for all. It sleeps until they come.
//!
//! The limit of both is what the kernel gives: a memory file whose descriptor is sent over a socket, and which is mapped; for a
//! publication it is made, written and sealed before. `uds` sends the bytes themselves over a stream socket. `iceoryx2` is its
//! blackboard with an event, for 4 KiB alone: its values are copied out as values of a `Copy` type, on the reader's stack, so that there
//! is no getting 64 MiB.

mod blackboard;
mod callgate;
pub(crate) mod get;
mod limit;
mod line;
mod uds;

use crate::Result;
use crate::payload::STOP;
use crate::systems::System;

/// Every system that has shares.
pub(crate) fn all() -> &'static [&'static dyn System] {
    &[
        &limit::Limit,
        &callgate::Callgate::FIRST,
        &callgate::Callgate::CONTROL,
        &callgate::Callgate::UNSEEN,
        &uds::Uds,
        &blackboard::Blackboard,
    ]
}

/// Bytes of a page.
const PAGE: usize = 4096;
/// What shares consist of that are not published anew.
const CONSTANT: u8 = 7;
/// What publication `number` consists of. No other one is the last.
const LAST: u8 = u8::MAX;

fn byte_of(number: u64) -> u8 {
    match number {
        STOP => LAST,
        _ => (number % u64::from(LAST)) as u8,
    }
}

/// Looks at a byte of each page; all are to be the same, which it gives.
fn look(bytes: &[u8]) -> Result<u8> {
    let first = *bytes.first().ok_or("nothing came")?;
    let sum: u64 = bytes
        .iter()
        .step_by(PAGE)
        .map(|byte| u64::from(*byte))
        .sum();
    match sum == u64::from(first) * bytes.len().div_ceil(PAGE) as u64 {
        true => Ok(first),
        false => Err("the pages differ".into()),
    }
}

/// Looks at what ought to consist of such bytes.
fn check(bytes: &[u8], byte: u8) -> Result<()> {
    match look(bytes)? {
        found if found == byte => Ok(()),
        found => Err(format!("{found} came in the place of {byte}").into()),
    }
}
