//! A dispatcher's thread that shares its core with callers.
//!
//! If there are more callers than cores, some of them wait for the core of the dispatcher's thread. They run when
//! it yields, make one call each, and wait again, while callers on other cores are answered at once and go on. The
//! kernel does not even that out, because all cores are equally busy. So a thread that shares its core moves to
//! another core every few milliseconds, where it shares with other callers.

use callgate_layout::clock;
use callgate_layout::sys::cores;

/// If at least this many calls had come in at once, they come from callers that waited for this thread's core.
const MANY: u32 = 3;
/// The least time between two moves, in nanoseconds. A move takes about 10 µs.
const PERIOD: u64 = 2_000_000;
/// Measurements over a longer time than this, in nanoseconds, say nothing about the present.
const LONG: u64 = 100_000_000;
/// The core counts as shared if others had it for at least one part in this many of the time.
const SHARED: u64 = 256;

/// How busy the core is on which a thread runs that never sleeps.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When that was looked at last, and how long the thread had run by then; 0 if it has slept since.
    since: u64,
    ran: u64,
}

impl Crowd {
    /// Notes that this many calls had come in at once, and moves this thread if it is time.
    #[inline]
    pub(super) fn met(&mut self, calls: u32) {
        if calls >= MANY {
            self.look();
        }
    }

    /// Notes that this thread has slept, so others had its core without harm.
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

    /// Whether others had this thread's core for part of the time since the last look.
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
