//! A dispatcher's thread that shares its core with callers.
//!
//! Where there are more callers than cores, some wait for the core of the dispatcher's thread. They run when
//! that gives way, make one call each, and wait again; whoever is awake on another core is answered at once
//! and goes on. Nothing evens that out, because all cores are equally busy. So a thread that shares its core
//! moves to another one every few milliseconds: then others are next to it.

use callgate_layout::clock;
use callgate_layout::sys::cores;

/// So many calls that were there at once come from callers that waited for this thread's core.
const MANY: u32 = 3;
/// The time between two moves at least, in nanoseconds. A move takes some 10 µs.
const PERIOD: u64 = 2_000_000;
/// What was measured over a longer time says nothing of now.
const LONG: u64 = 100_000_000;
/// Others had its core for such a part of its time: they make a call each, and wait again.
const SHARED: u64 = 256;

/// How busy the core of a thread is that never sleeps.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When that was looked at last, and how long the thread had run by then; 0 where it slept since.
    since: u64,
    ran: u64,
}

impl Crowd {
    /// Takes note that so many calls were there at once, and moves this thread if it is time.
    #[inline]
    pub(super) fn met(&mut self, calls: u32) {
        if calls >= MANY {
            self.look();
        }
    }

    /// This thread has slept: its core was others' without harm.
    pub(super) fn slept(&mut self) {
        self.since = 0;
    }

    #[cold]
    fn look(&mut self) {
        let now = clock::now();
        if now - self.since >= PERIOD && self.is_shared(now, cores::running_time()) {
            cores::move_on();
        }
    }

    /// Whether others had this thread's core for a part of the time since the last look.
    fn is_shared(&mut self, now: u64, ran: u64) -> bool {
        let (passed, running) = (now - self.since, ran.saturating_sub(self.ran));
        (self.since, self.ran) = (now, ran);
        passed < LONG && passed.saturating_sub(running) >= passed / SHARED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_moves_where_others_had_its_core_and_not_where_it_slept() {
        let mut crowd = Crowd::default();
        let at = |n: u64| LONG + n * PERIOD;
        assert!(!crowd.is_shared(at(0), 0), "nothing is known yet");
        assert!(!crowd.is_shared(at(1), PERIOD), "it ran all the time");
        assert!(crowd.is_shared(at(2), PERIOD + PERIOD / 2));
        assert!(!crowd.is_shared(at(3), 5 * PERIOD / 2));
        crowd.slept();
        assert!(!crowd.is_shared(at(4), 5 * PERIOD / 2));
    }
}
