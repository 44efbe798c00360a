//! Doorbell and status page: how a plugin with nothing to do is woken.
//!
//! ```text
//! doorbell page   0 bell u32            written by the plugin and its linked peers
//!                64 …                   the bells of its callers: `bells`
//!              4096 …                   topic words and feed words: `events::waking`
//! status page     0 state u32           0 awake, 1 parked, 2 closed   written by the plugin
//!                 4 starving u32        threads of this plugin that wait for payload room
//!               128 parks u64           how often it parked
//!               136 calls u64           calls its handlers ran
//!               144 errors u64          those that failed
//!               152 json u64            calls that the plugin made as JSON
//!              4096 …                   the same by gate: `stats`
//!             69632 …                   cursors: `events::cursor`
//! ```
//!
//! The bell carries no data: it is rung by adding to it, and waited on by its value.
//!
//! **Sync point** WORK-OR-PARKED. The plugin stores `parked`, fences, and looks for work once
//! more before it waits; a peer publishes work, fences, and looks at the state before it goes
//! on. With sequentially consistent fences on both sides at least one sees the other. The bell's
//! value is read (acquire) before the look, so that a ring after that ends the wait at once.
//!
//! One ring is enough for each park ([`Rung`]). The plugin reads the bell's value, then counts the park, then fences.
//! So a ring by a peer that has seen the count ends the wait of that park, and of all earlier ones that go on. After it
//! the plugin looks, and counts again before it waits again. A peer that publishes more and still sees the old count has
//! fenced before the plugin's next fence, and the look after that sees what it has published.
//!
//! RELEASED-OR-STARVING is the same for payload space: a thread that waits for space counts itself, fences and looks
//! once more; a peer releases, fences, and looks whether any thread waits.
//!
//! `closed` follows the same pattern: the plugin stores it, fences, and takes or answers what is left in its rings. A
//! caller that published too late for that sees it, and then waits to learn up to which call they were taken
//! ([`closing`](crate::closing)). CLOSED: its release store pairs with a peer's acquire load. So a peer that finds
//! the plugin closed finds every answer from before it closed, and so does every thread that learns it from that
//! peer.

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::geometry::LINE_LEN;
use crate::stats;
#[cfg(not(callgate_loom))]
use crate::sys::futex;
use crate::view::{ReadView, WriteView};

/// Bytes of a doorbell page.
pub const DOORBELL_LEN: usize = 73_728;
/// Bytes of a status page, of which few are ever touched.
pub const STATUS_LEN: usize = stats::END + 1024 * LINE_LEN;

/// Two cache lines apart from the state: processors fetch lines in pairs, and peers read the
/// state with every call.
const PARKS: usize = 128;
const CALLS: usize = 136;
const ERRORS: usize = 144;
const JSON_CALLS: usize = 152;
const STARVING: usize = 4;

// Checks the byte table above. A change of it is a change of the protocol version.
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(STARVING == 4 && PARKS == 128 && CALLS == 136 && ERRORS == 144 && JSON_CALLS == 152);
    assert!(STATUS_LEN == 4096 + 128 * 512 + 1024 * 64);
};

/// What a plugin is doing, as its peers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It looks at its rings without being woken.
    Awake,
    /// It sleeps until its doorbell is rung.
    Parked,
    /// It serves no more calls.
    Closed,
}

/// The plugin's own side of its status page.
#[derive(Debug)]
pub struct Status {
    page: WriteView,
}

/// The counters of a status page, as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often the plugin's dispatcher parked.
    pub parks: u64,
    /// Calls that its handlers ran.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Calls that it made as JSON.
    pub json_calls: u64,
}

impl Status {
    /// The writing side of a status page of [`STATUS_LEN`] bytes.
    pub fn new(page: WriteView) -> Status {
        Status { page }
    }

    /// The page.
    #[inline]
    pub(crate) fn page(&self) -> &WriteView {
        &self.page
    }

    /// Announces that the plugin is about to sleep, and returns the bell's value from before that.
    /// Afterwards the plugin looks for work once more, and may then sleep while the bell has that value.
    pub fn park(&self, bell: &Doorbell) -> u32 {
        let seen = bell.value();
        self.page.store32(0, 1, Ordering::Relaxed);
        self.add(PARKS);
        // WORK-OR-PARKED, the plugin's side; ARMED-OR-PARKED, the listener's first fence.
        fence(Ordering::SeqCst);
        seen
    }

    /// Announces that the plugin looks at its rings again.
    pub fn awake(&self) {
        self.page.store32(0, 0, Ordering::Relaxed);
    }

    /// Announces that the plugin serves no more calls, for good.
    pub fn close(&self) {
        // CLOSED, release.
        self.page.store32(0, 2, Ordering::Release);
        // WORK-OR-PARKED, the plugin's side.
        fence(Ordering::SeqCst);
    }

    /// Counts one more thread that waits for payload room. Afterwards the thread looks for room once more.
    pub fn starve(&self) {
        self.page.add32(STARVING, 1, Ordering::Relaxed);
        // RELEASED-OR-STARVING, the plugin's side.
        fence(Ordering::SeqCst);
    }

    /// Counts one waiting thread less.
    pub fn sated(&self) {
        self.page.add32(STARVING, u32::MAX, Ordering::Relaxed);
    }

    /// Counts a call, and whether it failed. Only the dispatcher counts.
    #[inline]
    pub fn count_call(&self, failed: bool) {
        self.add(CALLS);
        if failed {
            self.add(ERRORS);
        }
    }

    /// How many calls were counted.
    pub fn calls(&self) -> u64 {
        self.page.as_read().load64(CALLS, Ordering::Relaxed)
    }

    /// Counts a call that this plugin makes as JSON. Any thread that calls counts.
    #[cold]
    pub fn count_json_call(&self) {
        self.page.count(JSON_CALLS, true);
    }

    /// Counts a gate's call that came as JSON. `together`: other threads may count at the same time.
    pub fn count_gate_json(&self, record: u16, together: bool) {
        stats::json(&self.page, record, together);
    }

    /// Resets one of the page's records for a new gate.
    pub fn clear_gate(&self, record: u16) {
        stats::clear(&self.page, record);
    }

    /// Counts a gate's call that begins, and returns whether to time it. `together`: other threads may count at the
    /// same time.
    #[inline]
    pub fn begin_gate(&self, record: u16, together: bool) -> bool {
        stats::begin(&self.page, record, together)
    }

    /// Counts how such a call ended, if it failed or was timed: whether it failed, and how many
    /// nanoseconds it took.
    pub fn end_gate(&self, record: u16, outcome: (bool, Option<u64>), together: bool) {
        stats::end(&self.page, record, outcome, together);
    }

    /// There is one writer at a time, so a load and a store are enough; a locked add would cost more.
    #[inline]
    fn add(&self, at: usize) {
        self.page.count(at, false);
    }
}

/// What the owner of a status page is doing; asked after a call was published for it. The caller rings an owner that
/// is parked.
#[inline]
pub fn look_after_publishing(status: &ReadView) -> Activity {
    // WORK-OR-PARKED, the peer's side.
    fence(Ordering::SeqCst);
    activity(status)
}

/// For which park of a plugin this process has rung its bell last. In private memory, one for each peer.
#[derive(Debug)]
pub struct Rung {
    park: AtomicU64,
}

impl Default for Rung {
    fn default() -> Rung {
        Rung::new()
    }
}

impl Rung {
    /// The bell was not rung for any park.
    pub fn new() -> Rung {
        Rung {
            park: AtomicU64::new(0),
        }
    }

    /// Calls `ring` unless that was done in the owner's present park. To be called after
    /// [`look_after_publishing`] has found the owner parked.
    pub fn once_a_park(&self, status: &ReadView, ring: impl FnOnce()) {
        // WORK-OR-PARKED, the peer's side: behind its fence.
        let park = status.load64(PARKS, Ordering::Relaxed);
        if self.park.load(Ordering::Relaxed) != park {
            ring();
            // Not before: another thread that sees this would leave its call to a ring that is still to come.
            self.park.store(park, Ordering::Relaxed);
        }
    }

    /// Has the bell rung again in the present park. For a caller that got no answer in time: another peer that writes
    /// wrong values may have undone the ring.
    pub fn forget(&self) {
        // A ring that is under way meanwhile may store its park after this; it has just been made then.
        self.park.store(0, Ordering::Relaxed);
    }
}

/// True if the owner of a status page needs its bell rung; asked after payload room of the owner's was released.
pub fn look_after_releasing(status: &ReadView) -> bool {
    // RELEASED-OR-STARVING, the peer's side.
    fence(Ordering::SeqCst);
    is_waiting(status)
}

/// What the owner of a status page is doing. A value that no plugin writes counts as parked: a needless ring does no harm.
#[inline]
pub fn activity(status: &ReadView) -> Activity {
    // CLOSED, acquire.
    match status.load32(0, Ordering::Acquire) {
        0 => Activity::Awake,
        2 => Activity::Closed,
        _ => Activity::Parked,
    }
}

/// Whether the owner of a status page is parked, or somebody there waits for payload room.
pub(crate) fn is_waiting(status: &ReadView) -> bool {
    activity(status) == Activity::Parked || status.load32(STARVING, Ordering::Relaxed) != 0
}

/// Reads the counters of a status page.
pub fn counters(status: &ReadView) -> Counters {
    Counters {
        parks: status.load64(PARKS, Ordering::Relaxed),
        calls: status.load64(CALLS, Ordering::Relaxed),
        errors: status.load64(ERRORS, Ordering::Relaxed),
        json_calls: status.load64(JSON_CALLS, Ordering::Relaxed),
    }
}

/// A plugin's doorbell: its own, or a linked peer's.
#[derive(Debug)]
pub struct Doorbell {
    page: WriteView,
}

impl Doorbell {
    /// A doorbell on a page of [`DOORBELL_LEN`] bytes.
    pub fn new(page: WriteView) -> Doorbell {
        Doorbell { page }
    }

    /// The page.
    #[inline]
    pub(crate) fn page(&self) -> &WriteView {
        &self.page
    }

    /// The value to wait on; [`Status::park`] reads it, too. Acquire: a look after this sees the work for which the bell
    /// was rung.
    pub fn value(&self) -> u32 {
        self.page.as_read().load32(0, Ordering::Acquire)
    }

    /// Changes the value, so that no thread falls asleep on the old one. [`Doorbell::ring`] does
    /// this and wakes the threads that already sleep.
    pub fn touch(&self) {
        self.page.add32(0, 1, Ordering::Release);
    }

    /// The value of one of the callers' bells. Acquire, so that the flags that name the bell are
    /// written afterwards.
    pub(crate) fn callers_value(&self, bell: u8) -> u32 {
        let page = self.page.as_read();
        page.load32(LINE_LEN * usize::from(bell), Ordering::Acquire)
    }

    /// Changes the value of one of the callers' bells.
    pub fn touch_callers(&self, bell: u8) {
        let at = LINE_LEN * usize::from(bell);
        self.page.add32(at, 1, Ordering::Release);
    }
}

#[cfg(not(callgate_loom))]
impl Doorbell {
    /// The bell as a futex word: a wait for it ends as soon as it differs from its value now.
    pub fn word(&self) -> futex::Awaited<'_> {
        self.word_seen(self.value())
    }

    /// The bell as a futex word: a wait for it ends as soon as it is not `seen` any more.
    pub fn word_seen(&self, seen: u32) -> futex::Awaited<'_> {
        futex::Awaited::shared(self.page.as_read().futex(0), seen)
    }

    /// Changes the value and wakes all threads that sleep on the bell. One system call.
    pub fn ring(&self) {
        self.touch();
        futex::wake(self.page.as_read().futex(0));
    }

    /// Rings one of the callers' bells. One system call.
    pub fn ring_callers(&self, bell: u8) {
        self.touch_callers(bell);
        let at = LINE_LEN * usize::from(bell);
        futex::wake(self.page.as_read().futex(at));
    }

    /// One of the callers' bells as a futex word: a wait for it ends as soon as it is not `seen` any more.
    pub(crate) fn callers_word(&self, bell: u8, seen: u32) -> futex::Awaited<'_> {
        let at = LINE_LEN * usize::from(bell);
        futex::Awaited::shared(self.page.as_read().futex(at), seen)
    }

    /// Sleeps while the value of one of the callers' bells is `seen`, at most until the deadline.
    pub(crate) fn wait_callers(&self, bell: u8, seen: u32, deadline: u64) {
        let at = LINE_LEN * usize::from(bell);
        futex::wait(self.page.as_read().futex(at), seen, Some(deadline));
    }

    /// Waits until the bell is rung or, if a deadline (in nanoseconds of the monotonic clock)
    /// is given, until it passes; returns at once when the value is no longer `seen`.
    pub fn wait(&self, seen: u32, deadline: Option<u64>) {
        futex::wait(self.page.as_read().futex(0), seen, deadline);
    }
}
