//! How a plugin stops taking calls from a link, so that each call either runs and is answered, or certainly
//! did not run and its caller knows that. Calls that were taken go on, and so does the link.
//!
//! ```text
//! flags 0    8 state u32    0 open, 1 closed, 2 over; futex             the provider's outbox
//!           12 taken u32    the number of the last call that was taken
//! ```
//!
//! *Over* is closed, and all calls that were taken are answered: a plugin that ends writes it, and a peer that finds
//! it may drop the link. A plugin that goes on over another link (it *drains*) writes closed, because calls that it
//! has taken are still under way, and because it may itself call over this link.
//!
//! Both words are written once, by the thread that has the ring to itself. Zeroed memory is an open ring. The state
//! is about the calls in one ring, and says nothing about calls in the other direction.
//!
//! | | the provider, with the ring to itself | the caller |
//! |---|---|---|
//! | 1 | stores `closed` in its status page, fences ([`Status::close`](crate::pages::Status::close)) | publishes call `s`, fences |
//! | 2 | takes what lies in the ring, or answers it unrun: at most as many calls as there are slots | looks at the status page. Where that says `closed`, notes that in private memory ([`Life::close`](crate::life::Life::close)) and wakes all who wait on this link |
//! | 3 | where it ends, answers what it can; stores `taken`, then `state` ([`close`]), and wakes who waits for that word | waits for its answer. Who knows that calls are closed looks at these words, too |
//! | 4 | fences, looks which bells the caller's flags name ([`bells_to_ring`]), rings them and the caller's doorbell | where its call is not taken, frees the slot; nobody will look at the entry |
//! | 5 | where it drains, answers what it has taken | else goes on to wait for the answer |
//!
//! **Each call is covered.** By the fences of step 1 the provider finds the call in step 2, or the caller finds
//! `closed`. One call is left: `s + 1` was published before the provider closed, but `s` was claimed and not
//! published then, so the last look ended before `s`. The caller of `s + 1` has seen nothing. The caller of
//! `s` publishes later, finds `closed`, and wakes everybody in step 2. It always exists: between claiming
//! and publishing there is no code that could fail.
//!
//! **Sync point** CLOSED-AT. `state` is stored with release after `taken`, and loaded with acquire before it:
//! else a caller could take an old number for the last one, and make a call once more that runs; or, where it is
//! over, miss an answer.
//!
//! **Sync point** REPLY-OR-WAITER, for `state` as for an answer: the caller names its bell, fences, and looks at
//! `state`; the provider stores `state`, fences, and looks at the flags. A caller without a bell waits for the word
//! itself ([`words`](crate::words)).
//!
//! | who | dies or lies | what happens |
//! |---|---|---|
//! | caller | at any time | its memory goes with the link |
//! | provider | dies before step 3 | the link ends: a call that was published may have run |
//! | provider | dies after step 3 | the link ends; a call that was not taken is still known not to have run |
//! | provider | is stopped between steps 1 and 3 | late calls wait until their deadlines; nothing runs between these steps |
//! | provider | says `closed` and never how far it came | the same |
//! | provider | names a number that is too large | those calls wait until their deadlines, as with one that does not answer |
//! | provider | names one that is too small | calls are made once more that it has run: it runs its own handlers twice |
//! | provider | changes the words later | a caller looks once or twice, and believes one of the numbers |
//! | provider | answers a call that it said it had not taken | nobody looks: the link takes no further call, so the slot bears none |

use crate::atomic::{Ordering, fence};
use crate::flags;
use crate::geometry::Geometry;
#[cfg(not(callgate_loom))]
use crate::sys::futex;
use crate::view::{ReadView, WriteView};

const STATE: usize = 8;
const TAKEN: usize = 12;

const OPEN: u32 = 0;
const CLOSED: u32 = 1;
const OVER: u32 = 2;

/// What became of a call that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The provider still takes calls from this ring.
    Open,
    /// The provider took this call and will answer it; it takes no later calls.
    Taken,
    /// The provider did not take this call, and will not.
    Untaken,
}

/// Tells the peer that this plugin takes no more calls from the peer's ring, and that `taken` was the number of the last
/// one; if `is_over`, also that all taken calls are answered and this plugin no longer uses the link. Written to the
/// provider's own outbox, once.
pub fn close(outbox: &WriteView, geometry: Geometry, (taken, is_over): (u32, bool)) {
    let at = geometry.flags_at(0);
    let state = if is_over { OVER } else { CLOSED };
    outbox.store32(at + TAKEN, taken, Ordering::Relaxed);
    // CLOSED-AT, release.
    outbox.store32(at + STATE, state, Ordering::Release);
}

/// The bells that the flags of the caller's calls name, as bits. The provider rings them after [`close`], so that the
/// threads that sleep on them look whether their calls were taken.
pub fn bells_to_ring(inbox: &ReadView, geometry: Geometry) -> u64 {
    // REPLY-OR-WAITER, the provider's side.
    fence(Ordering::SeqCst);
    let slots = 0..geometry.entries() as u8;
    let bells = slots.filter_map(|slot| flags::bell(inbox, geometry, slot));
    bells.fold(0, |bells, bell| bells | 1 << bell)
}

/// The state of a ring, from the peer's outbox. A thread that sleeps until it changes reads it before its last look.
pub(crate) fn seen(inbox: &ReadView, geometry: Geometry) -> u32 {
    inbox.load32(geometry.flags_at(0) + STATE, Ordering::Relaxed)
}

/// `None` while the peer takes calls from this side's ring; `Some(false)` once it takes no more, `Some(true)` once it
/// no longer uses the link at all. Read from the peer's outbox.
pub fn look(inbox: &ReadView, geometry: Geometry) -> Option<bool> {
    // CLOSED-AT, acquire: a caller that reads `over` also finds every answer.
    match inbox.load32(geometry.flags_at(0) + STATE, Ordering::Acquire) {
        OPEN => None,
        state => Some(state == OVER),
    }
}

/// What became of a call in this side's ring, whose `number` is [`RingWriter::number_of`] its slot. Read from the
/// peer's outbox.
///
/// [`RingWriter::number_of`]: crate::ring::RingWriter::number_of
pub fn fate(inbox: &ReadView, geometry: Geometry, number: impl FnOnce() -> Option<u32>) -> Fate {
    let Some(taken) = last_taken(inbox, geometry) else {
        return Fate::Open;
    };
    match number() {
        // Numbers wrap, and those of calls under way are no further apart than a ring is long.
        Some(number) if (number.wrapping_sub(taken) as i32) > 0 => Fate::Untaken,
        _ => Fate::Taken,
    }
}

/// The number of the last call that the peer took; `None` while it still takes calls.
fn last_taken(inbox: &ReadView, geometry: Geometry) -> Option<u32> {
    look(inbox, geometry)?;
    Some(inbox.load32(geometry.flags_at(0) + TAKEN, Ordering::Relaxed))
}

/// Wakes all threads that wait for the state. One system call.
#[cfg(not(callgate_loom))]
pub fn wake(outbox: &WriteView, geometry: Geometry) {
    futex::wake(outbox.as_read().futex(geometry.flags_at(0) + STATE));
}

/// The state as a futex word: a wait for it ends as soon as it is not `seen` any more. In the peer's outbox.
#[cfg(not(callgate_loom))]
pub(crate) fn word(inbox: &ReadView, geometry: Geometry, seen: u32) -> futex::Awaited<'_> {
    futex::Awaited::shared(inbox.futex(geometry.flags_at(0) + STATE), seen)
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use crate::sys::mapping::Mapping;
    use crate::sys::memfd;

    fn outbox() -> (WriteView, Geometry) {
        let (geometry, len) = (Geometry::DEFAULT, Geometry::DEFAULT.total_len());
        let file = memfd::create("test", len).expect("a memory file");
        let map = Mapping::writable(file, len).expect("a map");
        (WriteView::new(map).expect("a writable one"), geometry)
    }

    /// Without wrapping arithmetic, calls around the point where numbers wrap would be taken for later or earlier ones.
    #[test]
    fn numbers_wrap() {
        for taken in [0, 1, 63, u32::MAX, u32::MAX - 2, i32::MAX as u32] {
            let (outbox, geometry) = outbox();
            let fate = |number| fate(outbox.as_read(), geometry, || Some(number));
            assert_eq!(fate(taken), Fate::Open);
            close(&outbox, geometry, (taken, false));
            for ahead in 1..=64 {
                assert_eq!(fate(taken.wrapping_add(ahead)), Fate::Untaken);
                assert_eq!(fate(taken.wrapping_add(1).wrapping_sub(ahead)), Fate::Taken);
            }
        }
    }

    /// A caller that sleeps on no bell names 0 or 64, and a peer may write anything there.
    #[test]
    fn only_bells_of_callers_are_rung() {
        let (inbox, geometry) = outbox();
        for (slot, word) in [(0, 1), (1, 63), (2, 64), (3, u32::MAX), (4, 1), (5, 0)] {
            inbox.store32(geometry.flags_at(slot), word, Ordering::Relaxed);
        }
        let bells = bells_to_ring(inbox.as_read(), geometry);
        assert_eq!(bells, 1 << 1 | 1 << 63);
    }
}
