//! A pending call's flags: two words that the caller writes in its own outbox for the provider.
//!
//! ```text
//! 0 waiter u32    how the caller is to be woken: 0 not at all, 1 to 63 by that one of its bells
//!                 (`bells`), 64 by the reply slot's state
//! 4 release u32   the generation whose reply payload the caller no longer needs
//! ```
//!
//! Behind those of the first slot stand two words of [`closing`](crate::closing), which the owner of the outbox
//! writes as a provider.
//!
//! **Waiter.** The caller says how to wake it, fences and looks at `state` once more; the provider
//! publishes `state`, fences and looks how to wake the caller. With sequentially consistent fences on both
//! sides (sync point REPLY-OR-WAITER) at least one of them sees the other: the caller does not
//! sleep, or the provider wakes it. Release and acquire alone would let both miss.
//!
//! **Release.** The provider frees a reply's blocks when `release` shows its generation, or when
//! the slot bears its next call. RELEASED: the caller's release store, after its last load of
//! the payload, pairs with the provider's acquire load, before it writes there again. A caller
//! that gives up stores it at once; the provider looks after it has published, so that
//! a reply nobody waits for is freed on the spot.

use crate::atomic::{Ordering, fence};
use crate::geometry::Geometry;
use crate::view::{ReadView, WriteView};

const RELEASE: usize = 4;

/// The bells that a waiter can name: the lines of a doorbell page that are for callers.
pub(crate) const FIRST_BELL: u8 = 1;
pub(crate) const LAST_BELL: u8 = 63;

const ON_REPLY: u32 = 64;

/// How the provider must wake the caller when the answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// Not at all: it is awake.
    Nobody,
    /// It sleeps, or is about to, on this one of its plugin's bells.
    Bell(u8),
    /// It sleeps, or is about to, on the reply slot's state, perhaps among other words.
    Reply,
}

/// Tells the provider how to wake the caller.
#[inline]
pub fn set_waiter(outbox: &WriteView, geometry: Geometry, slot: u8, waiter: Waiter) {
    let word = match waiter {
        Waiter::Nobody => 0,
        Waiter::Bell(bell) => u32::from(bell),
        Waiter::Reply => ON_REPLY,
    };
    outbox.store32(geometry.flags_at(slot), word, Ordering::Relaxed);
}

/// How the provider must wake the caller; asked after the answer was published. A value that no caller writes counts
/// as the reply slot's state: a needless wake-up does no harm.
#[inline]
pub fn waiter_to_wake(inbox: &ReadView, geometry: Geometry, slot: u8) -> Waiter {
    // REPLY-OR-WAITER, the provider's side.
    fence(Ordering::SeqCst);
    match inbox.load32(geometry.flags_at(slot), Ordering::Relaxed) {
        0 => Waiter::Nobody,
        word => named(word).map_or(Waiter::Reply, Waiter::Bell),
    }
}

/// The bell that the caller's flags name, if they do.
pub(crate) fn bell(inbox: &ReadView, geometry: Geometry, slot: u8) -> Option<u8> {
    named(inbox.load32(geometry.flags_at(slot), Ordering::Relaxed))
}

/// The bell that a word names, if it is one of those for callers.
fn named(word: u32) -> Option<u8> {
    let bell = u8::try_from(word).ok()?;
    (FIRST_BELL..=LAST_BELL).contains(&bell).then_some(bell)
}

/// Tells the provider that the caller no longer needs the payload of `generation`'s reply.
pub fn release(outbox: &WriteView, geometry: Geometry, slot: u8, generation: u32) {
    // RELEASED, release.
    outbox.store32(
        geometry.flags_at(slot) + RELEASE,
        generation,
        Ordering::Release,
    );
}

/// Whether the caller no longer needs the payload of `generation`'s reply.
pub fn is_released(inbox: &ReadView, geometry: Geometry, slot: u8, generation: u32) -> bool {
    // RELEASED, acquire.
    inbox.load32(geometry.flags_at(slot) + RELEASE, Ordering::Acquire) == generation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number from a peer's flags becomes an offset in a page.
    #[test]
    fn only_a_callers_bell_can_be_named() {
        assert_eq!((named(0), named(64), named(u32::MAX)), (None, None, None));
        assert_eq!((named(1), named(63)), (Some(1), Some(63)));
    }
}
