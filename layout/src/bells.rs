//! The bells on which callers sleep until their answers are there, one for each sleeping caller.
//!
//! A doorbell page has a line for each of these bells, behind the dispatcher's. A caller takes a
//! free bell while it sleeps and names it in its call's flags. When the provider has published the
//! answer, it adds one to the bell and wakes the caller that sleeps on it. The side that ends the link does
//! the same with all bells in use. So a sleeping caller waits for a single word, both for the
//! answer and for the end of the link.
//!
//! ```text
//! doorbell page    64 n  bell n u32, n from 1 to 63    written by the plugin and its linked peers
//! ```
//!
//! **Sync point** REPLY-OR-WAITER. The caller reads its bell, names it in its flags, fences, and
//! looks at the reply slot once more before it sleeps while the bell is as it was read; the
//! provider publishes, fences, and looks at the flags. At least one of them sees the other.
//!
//! **Sync point** GONE-OR-ASLEEP. The caller takes its bell, fences, and looks once more whether
//! the link has ended; the side that ends the link notes the end, fences, and looks which bells are taken.
//!
//! A peer that rings a bell for no reason, or names a bell on which nobody sleeps, only makes a
//! thread look once more.

use std::sync::Arc;

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::flags::{self, FIRST_BELL, LAST_BELL, Waiter};
use crate::geometry::Geometry;
use crate::pages::Doorbell;
use crate::view::WriteView;

/// A plugin's own bells for its callers, and which of them are in use.
#[derive(Debug)]
pub struct Bells {
    doorbell: Arc<Doorbell>,
    /// A bit for each bell that is taken. Private to this process.
    taken: AtomicU64,
}

impl Bells {
    /// The bells on the plugin's own doorbell page.
    pub fn new(doorbell: Arc<Doorbell>) -> Bells {
        Bells {
            doorbell,
            taken: AtomicU64::new(0),
        }
    }

    /// Takes a bell that is free, if there is one.
    fn take(&self) -> Option<u8> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            // Bit 0 stands for the dispatcher's bell.
            let bell = (taken | 1).trailing_ones() as u8;
            if bell > LAST_BELL {
                return None;
            }
            // Ordered by the caller's fence before its second look: GONE-OR-ASLEEP.
            let (with, relaxed) = (taken | 1 << bell, Ordering::Relaxed);
            match self.taken.compare_exchange(taken, with, relaxed, relaxed) {
                Ok(_) => return Some(bell),
                Err(now) => taken = now,
            }
        }
    }

    fn give_back(&self, bell: u8) {
        self.taken.fetch_and(!(1 << bell), Ordering::Relaxed);
    }

    /// The bells in use, which the side that has ended a link rings, so that the sleeping callers
    /// notice the end.
    pub fn in_use(&self) -> impl Iterator<Item = u8> + use<> {
        // GONE-OR-ASLEEP, the side that ends the link.
        fence(Ordering::SeqCst);
        let taken = self.taken.load(Ordering::Relaxed);
        (FIRST_BELL..=LAST_BELL).filter(move |bell| taken >> bell & 1 == 1)
    }

    /// A bell as a futex word: a wait for it ends as soon as the bell differs from its value now.
    #[cfg(not(callgate_loom))]
    pub fn word(&self, bell: u8) -> crate::sys::futex::Awaited<'_> {
        let seen = self.doorbell.callers_value(bell);
        self.doorbell.callers_word(bell, seen)
    }

    /// Wakes every caller that sleeps on one of these bells, so that it looks at its link again.
    #[cfg(not(callgate_loom))]
    pub fn ring_all(&self) {
        for bell in self.in_use() {
            self.doorbell.ring_callers(bell);
        }
    }
}

/// A bell that one thread keeps for the answers to many calls, and on which it sleeps until any of them comes.
///
/// The bell is named in a call's flags *before* the call is published. The provider has taken the call
/// when it answers, so it sees the flags (CALL-PUBLISHED), and no fence is needed. The thread
/// reads the bell's value before it looks for answers, and sleeps while the bell still has that value.
#[derive(Debug)]
pub struct KeptBell {
    bells: Arc<Bells>,
    bell: u8,
}

impl KeptBell {
    /// Takes a bell; `None` where all are in use.
    pub fn take(bells: &Arc<Bells>) -> Option<KeptBell> {
        let bell = bells.take()?;
        // GONE-OR-ASLEEP: whoever ends a link from here on rings this bell, too.
        fence(Ordering::SeqCst);
        Some(KeptBell {
            bells: bells.clone(),
            bell,
        })
    }

    /// The bell's number, as it stands in the flags of calls.
    pub fn number(&self) -> u8 {
        self.bell
    }

    /// The bell's value now.
    pub fn value(&self) -> u32 {
        self.bells.doorbell.callers_value(self.bell)
    }

    /// Changes the value, so that the thread looks again before it sleeps.
    pub fn touch(&self) {
        self.bells.doorbell.touch_callers(self.bell);
    }

    /// The bell as a futex word: a wait for it ends as soon as its value is not `seen` any more.
    #[cfg(not(callgate_loom))]
    pub fn word(&self, seen: u32) -> crate::sys::futex::Awaited<'_> {
        self.bells.doorbell.callers_word(self.bell, seen)
    }

    /// Rings the bell from this process.
    #[cfg(not(callgate_loom))]
    pub fn ring(&self) {
        self.bells.doorbell.ring_callers(self.bell);
    }
}

impl Drop for KeptBell {
    fn drop(&mut self) {
        self.bells.give_back(self.bell);
    }
}

/// A caller that is about to sleep until its answer is there. While this value lives, the flags of
/// the call name the caller's bell.
#[derive(Debug)]
pub struct Sleeper<'a> {
    bells: &'a Bells,
    outbox: &'a WriteView,
    geometry: Geometry,
    slot: u8,
    bell: u8,
}

impl<'a> Sleeper<'a> {
    /// Takes a bell; `None` where all are in use.
    pub fn new(
        bells: &'a Bells,
        outbox: &'a WriteView,
        geometry: Geometry,
        slot: u8,
    ) -> Option<Sleeper<'a>> {
        let bell = bells.take()?;
        Some(Sleeper {
            bells,
            outbox,
            geometry,
            slot,
            bell,
        })
    }

    /// Names the bell in the call's flags, and returns the bell's value from before that. The caller then looks
    /// once more for its answer, and may sleep while the bell still has that value.
    pub fn announce(&self) -> u32 {
        let seen = self.value();
        let waiter = Waiter::Bell(self.bell);
        flags::set_waiter(self.outbox, self.geometry, self.slot, waiter);
        // REPLY-OR-WAITER and GONE-OR-ASLEEP, the caller's side.
        fence(Ordering::SeqCst);
        seen
    }

    /// The bell's value now.
    pub fn value(&self) -> u32 {
        self.bells.doorbell.callers_value(self.bell)
    }

    /// Names the bell, then looks and sleeps in turn until `ended` returns `Some`. `sleep` sleeps while the
    /// bell has the value that it is passed, and may return early.
    pub fn wait<T>(&self, mut ended: impl FnMut() -> Option<T>, sleep: impl Fn(u32)) -> T {
        let mut seen = self.announce();
        loop {
            if let Some(outcome) = ended() {
                return outcome;
            }
            sleep(seen);
            // Read the value before the next look: a ring after that look ends the next sleep.
            seen = self.value();
        }
    }

    /// Sleeps while the bell's value is `seen`, at most until the deadline, in nanoseconds of
    /// the monotonic clock. May return early.
    #[cfg(not(callgate_loom))]
    pub fn sleep(&self, seen: u32, deadline: u64) {
        let doorbell = &self.bells.doorbell;
        doorbell.wait_callers(self.bell, seen, deadline);
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        flags::set_waiter(self.outbox, self.geometry, self.slot, Waiter::Nobody);
        // A provider that read the flags before this may still ring the bell: then the next caller that
        // takes the bell looks once more for nothing.
        self.bells.give_back(self.bell);
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use crate::pages::DOORBELL_LEN;
    use crate::sys::mapping::Mapping;
    use crate::sys::memfd;

    fn bells() -> Bells {
        let page = memfd::create("test", DOORBELL_LEN).expect("a memory file");
        let page = Mapping::writable(page, DOORBELL_LEN).expect("a map");
        let page = WriteView::new(page).expect("a writable one");
        Bells::new(Arc::new(Doorbell::new(page)))
    }

    /// Two callers on one bell would be woken for each other; one on the dispatcher's would wake
    /// the dispatcher with every answer.
    #[test]
    fn each_caller_has_a_bell_of_its_own() {
        let bells = bells();
        let all: Vec<u8> = std::iter::from_fn(|| bells.take()).collect();
        assert_eq!(all, (FIRST_BELL..=LAST_BELL).collect::<Vec<_>>());
        assert!(bells.in_use().eq(FIRST_BELL..=LAST_BELL));
        bells.give_back(7);
        assert!(bells.in_use().all(|bell| bell != 7));
        assert_eq!((bells.take(), bells.take()), (Some(7), None));
    }
}
