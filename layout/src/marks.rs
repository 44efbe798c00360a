//! A pending call's marks: two words that the caller writes in its own outbox for the provider.
//!
//! ```text
//! 0 waiter u32    1: the caller is about to park, or parked, on the reply slot's state
//! 4 release u32   the generation whose reply payload the caller has no more use for
//! ```
//!
//! **Waiter.** The caller sets the flag, fences and looks at `state` once more; the provider
//! publishes `state`, fences and looks at the flag. With sequentially consistent fences on both
//! sides (sync point REPLY-OR-WAITER) at least one of them sees the other: the caller does not
//! sleep, or the provider wakes it. Release and acquire alone would let both miss.
//!
//! **Release.** The provider frees a reply's blocks when `release` shows its generation, or when
//! the slot bears its next call. RELEASED: the caller's release store, after its last load of
//! the payload, pairs with the provider's acquire load, before it writes there again. A caller
//! that gives up stores it at once; the provider looks after it has published (and fenced), so
//! that a reply nobody waits for is freed on the spot.

use crate::atomic::Ordering;
use crate::geometry::Geometry;
use crate::view::{ReadView, WriteView};

const RELEASE: usize = 4;

/// Says whether the caller is about to park on the slot.
#[inline]
pub fn set_waiter(outbox: &WriteView, geometry: Geometry, slot: u8, waiting: bool) {
    outbox.store32(
        geometry.marks_at(slot),
        u32::from(waiting),
        Ordering::Relaxed,
    );
}

/// Whether the caller is about to park on the slot, or parked.
#[inline]
pub fn has_waiter(inbox: &ReadView, geometry: Geometry, slot: u8) -> bool {
    inbox.load32(geometry.marks_at(slot), Ordering::Relaxed) != 0
}

/// Gives the payload of `generation`'s reply back.
pub fn release(outbox: &WriteView, geometry: Geometry, slot: u8, generation: u32) {
    // RELEASED, release.
    outbox.store32(
        geometry.marks_at(slot) + RELEASE,
        generation,
        Ordering::Release,
    );
}

/// Whether the payload of `generation`'s reply was given back.
pub fn is_released(inbox: &ReadView, geometry: Geometry, slot: u8, generation: u32) -> bool {
    // RELEASED, acquire.
    inbox.load32(geometry.marks_at(slot) + RELEASE, Ordering::Acquire) == generation
}
