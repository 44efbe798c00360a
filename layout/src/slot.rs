//! Reply slots: where a call's answer appears.
//!
//! **Who writes what.** All of a reply slot is written by the provider, in its own outbox; the
//! slot's index is the caller's pending call. The first word, `state`, is the *generation* that
//! was answered last: how many calls this slot has borne. Both sides count generations in
//! private memory; a peer that lies about one answers only its own call wrongly, or not at all.
//!
//! **Sync points.** REPLY-PUBLISHED: the provider's release store of `state` pairs with the
//! caller's acquire load. It carries the reply to the caller, and also the fact that the
//! provider has copied the request: from there on the caller may reuse entry and payload.

use crate::atomic::Ordering;
use crate::envelope::{Cell, Reply, Violation};
use crate::geometry::{Geometry, LINE_LEN};
#[cfg(not(callgate_loom))]
use crate::sys::futex;
use crate::view::{ReadView, WriteView};

/// Has the processor fetch a slot's lines while the handler still runs. The caller polls the slot, and moving its lines
/// to this core takes longer than most handlers do.
#[inline(always)]
pub fn prepare(outbox: &WriteView, geometry: Geometry, slot: u8) {
    outbox.claim_cell(geometry.reply_at(slot));
}

/// Publishes a reply whose inline payload, if it has one, already stands in `cell`.
///
/// Each generation of a slot is published once. Afterwards the provider issues a fence and
/// looks how the caller is to be woken ([`crate::flags`]).
#[inline(always)]
pub fn publish(
    outbox: &WriteView,
    geometry: Geometry,
    slot: u8,
    generation: u32,
    reply: &Reply,
    cell: &mut Cell,
) {
    cell.set_reply(reply, generation);
    let at = geometry.reply_at(slot);
    cell.write(outbox, at, used_by(reply));
    outbox.store32(at + 4, (cell.head[0] >> 32) as u32, Ordering::Relaxed);
    // REPLY-PUBLISHED, release.
    outbox.store32(at, generation, Ordering::Release);
}

/// How many bytes behind its envelope a reply uses.
#[inline(always)]
fn used_by(reply: &Reply) -> usize {
    Cell::used(0, reply.place, reply.length)
}

/// The generation that was answered last; the caller compares it with its own.
#[inline]
pub fn state(inbox: &ReadView, geometry: Geometry, slot: u8) -> u32 {
    inbox.touch(geometry.reply_at(slot) + LINE_LEN);
    // REPLY-PUBLISHED, acquire.
    inbox.load32(geometry.reply_at(slot), Ordering::Acquire)
}

/// Copies the reply out and checks it, after [`state`] has shown its generation.
#[inline(always)]
pub fn read(
    inbox: &ReadView,
    geometry: Geometry,
    slot: u8,
    cell: &mut Cell,
) -> Result<Reply, Violation> {
    let at = geometry.reply_at(slot);
    let word = u64::from(inbox.load32(at + 4, Ordering::Relaxed)) << 32;
    cell.read_first(inbox, at, word);
    let reply = cell.reply(geometry)?;
    cell.read_second(inbox, at, used_by(&reply));
    Ok(reply)
}

/// Wakes the caller that parked on a slot. One system call.
#[cfg(not(callgate_loom))]
pub fn wake(outbox: &WriteView, geometry: Geometry, slot: u8) {
    futex::wake(outbox.as_read().futex(geometry.reply_at(slot)));
}

/// A slot's state as a futex word: a wait for it ends as soon as it is not `seen` any more.
#[cfg(not(callgate_loom))]
pub fn word(inbox: &ReadView, geometry: Geometry, slot: u8, seen: u32) -> futex::Awaited<'_> {
    futex::Awaited::shared(inbox.futex(geometry.reply_at(slot)), seen)
}
