//! How to wait for something that another process is about to do: spin, then yield, then park.
//!
//! If both sides are awake on different cores, the answer comes within a microsecond, and pure spinning is fastest.
//! If the other side was parked, waking it takes some 20 to 50 µs. A caller that parks meanwhile pays for a second
//! wake-up when the answer comes, so it stays awake longer than the first wake-up takes. But the scheduler may have
//! put the other side on this very core, where spinning keeps it from running. So the caller spins in slices of
//! about a microsecond, and calls `sched_yield` between them. A thread that has waited longer than a wake-up takes
//! parks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use callgate_layout::clock;

/// How a plugin's threads wait: for answers to its calls, and for calls to its gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitPolicy {
    /// Spin and yield for about as long as it takes to wake a thread (10 to 150 µs, as measured), then sleep. The
    /// default.
    #[default]
    Adaptive,
    /// Sleep at once. Uses the least CPU time, but each call takes some tens of microseconds longer.
    Park,
    /// Never sleep. Calls are shortest, but each waiting thread keeps a CPU core busy.
    Spin,
}

/// The length of a slice of spinning, in nanoseconds.
const SLICE: u64 = 1_000;
/// The time between two looks, in nanoseconds. A look moves the cache line to this core, and the side that is about
/// to write it has to fetch it back. Looking all the time costs a call more than seeing its answer a little later.
const BETWEEN_LOOKS: u64 = 40;
/// After `IN_VAIN` waits in a row in which the first slice of spinning saw nothing, slices are left out: the other
/// side cannot run meanwhile, or takes longer anyway. They are tried again in every `TRY_AGAIN`th wait.
const IN_VAIN: u32 = 16;
const TRY_AGAIN: u32 = 16;
/// How long a wait is assumed to take before any was measured, in nanoseconds.
const USUAL: u32 = 25_000;
/// A thread stays awake for `TIMES` the usual length of recent waits, within the two bounds (in nanoseconds). A
/// wake-up from core to core takes 20 µs on one machine and 80 µs on another. A thread that was woken onto this
/// very core cannot run while this one stays awake, so staying awake much longer than usual would delay it.
const TIMES: u32 = 2;
const LEAST_BUDGET: u32 = 10_000;
const MOST_BUDGET: u32 = 150_000;
/// How long to stay awake if recent waits took longer than `WORTH`, in nanoseconds.
const SHORT_BUDGET: u32 = 2_000;
/// Waits longer than this are not worth staying awake for, in nanoseconds.
const WORTH: u32 = 150_000;

/// How long the recent waits of a link or a dispatcher took, and so how long the next one stays awake.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: WaitPolicy,
    /// About the median of recent waits, in nanoseconds.
    usual: AtomicU32,
    pace: Pace,
    /// How many waits in a row there were in which the first slice saw nothing.
    in_vain: AtomicU32,
}

impl Backoff {
    pub(crate) fn new(policy: WaitPolicy) -> Backoff {
        Backoff {
            policy,
            usual: AtomicU32::new(USUAL),
            pace: Pace::measured(),
            in_vain: AtomicU32::new(0),
        }
    }

    /// Whether waits stay awake until they end.
    pub(crate) fn never_sleeps(&self) -> bool {
        self.policy == WaitPolicy::Spin
    }

    /// Waits awake until `is_done`. Returns `false` when it is time to park, or `give_up_at` has passed. Always
    /// inlined: a call contains a second attempt after the first, and so the compiler would make a function of it.
    #[inline(always)]
    pub(crate) fn stay_awake(&self, give_up_at: u64, is_done: impl FnMut() -> bool) -> bool {
        self.stay_awake_until(|| give_up_at, is_done)
    }

    /// The same, where the time is only computed if the first slice of spinning saw nothing.
    #[inline(always)]
    pub(crate) fn stay_awake_until(
        &self,
        give_up_at: impl FnOnce() -> u64,
        mut is_done: impl FnMut() -> bool,
    ) -> bool {
        if self.policy == WaitPolicy::Park {
            return is_done();
        }
        let in_vain = self.in_vain.load(Ordering::Relaxed);
        let spins = in_vain < IN_VAIN || in_vain.is_multiple_of(TRY_AGAIN);
        if spins && self.slice(&mut is_done) {
            if in_vain != 0 {
                self.in_vain.store(0, Ordering::Relaxed);
            }
            return true;
        }
        self.in_vain
            .store(in_vain.wrapping_add(1).max(1), Ordering::Relaxed);
        self.yield_until(give_up_at(), spins, &mut is_done)
    }

    #[cold]
    fn yield_until(
        &self,
        give_up_at: u64,
        spins: bool,
        is_done: &mut impl FnMut() -> bool,
    ) -> bool {
        let start = clock::now();
        let until = match self.policy {
            WaitPolicy::Spin => give_up_at,
            _ => give_up_at.min(start + u64::from(self.budget())),
        };
        if until <= start {
            return false;
        }
        loop {
            thread::yield_now();
            if if spins {
                self.slice(is_done)
            } else {
                is_done()
            } {
                self.learn(clock::now() - start);
                return true;
            }
            if clock::now() >= until {
                return false;
            }
        }
    }

    /// Spins for about a microsecond, looking again and again.
    #[inline]
    fn slice(&self, is_done: &mut impl FnMut() -> bool) -> bool {
        for _ in 0..self.pace.looks {
            if is_done() {
                return true;
            }
            for _ in 0..self.pace.pauses {
                std::hint::spin_loop();
            }
        }
        is_done()
    }

    fn budget(&self) -> u32 {
        match self.usual.load(Ordering::Relaxed) {
            usual if usual > WORTH => SHORT_BUDGET,
            usual => (TIMES * usual).clamp(LEAST_BUDGET, MOST_BUDGET),
        }
    }

    /// Takes note of how long a wait was, parked or not. A lost update does no harm.
    ///
    /// Moves `usual` in steps, so that it approaches the median. A mean would follow the few very long waits, in
    /// which a thread could not run; staying awake longer does not shorten those.
    pub(crate) fn learn(&self, nanos: u64) {
        let usual = self.usual.load(Ordering::Relaxed);
        let step = usual / 16 + 1;
        let next = match nanos > u64::from(usual) {
            true => (usual + step).min(2 * WORTH),
            false => usual - step.min(usual),
        };
        self.usual.store(next, Ordering::Relaxed);
    }
}

/// How spinning is paced on this processor.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The number of looks in a slice.
    looks: u32,
    /// The number of pauses between two looks.
    pauses: u32,
}

impl Pace {
    /// A pause takes 10 to 150 ns, depending on the processor. It is measured once in a process, as the shortest of
    /// five tries.
    fn measured() -> Pace {
        const PAUSES: u64 = 64;
        static PACE: OnceLock<Pace> = OnceLock::new();
        *PACE.get_or_init(|| {
            let tries = (0..5).map(|_| {
                let start = clock::now();
                (0..PAUSES).for_each(|_| std::hint::spin_loop());
                (clock::now() - start).max(PAUSES)
            });
            Pace::of(tries.min().unwrap_or(PAUSES) / PAUSES)
        })
    }

    fn of(pause_ns: u64) -> Pace {
        let pauses = (BETWEEN_LOOKS / pause_ns.max(1)).clamp(1, 16);
        let looks = SLICE / (pauses * pause_ns.max(1));
        Pace {
            looks: u32::try_from(looks).unwrap_or(8).clamp(8, 256),
            pauses: pauses as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_make_for_short_patience_and_back() {
        let backoff = Backoff::new(WaitPolicy::Adaptive);
        assert_eq!(backoff.budget(), TIMES * USUAL);
        let learn = |times, nanos| (0..times).for_each(|_| backoff.learn(nanos));
        learn(60, 1_000_000);
        assert_eq!(backoff.budget(), SHORT_BUDGET);
        learn(100, 1_000);
        assert_eq!(backoff.budget(), LEAST_BUDGET);
        learn(100, 70_000);
        assert!((120_000..150_000).contains(&backoff.budget()));
        // What is rare changes little, however long it took.
        for _ in 0..100 {
            learn(9, 20_000);
            learn(1, 1_000_000);
        }
        assert!((35_000..50_000).contains(&backoff.budget()));
    }

    #[test]
    fn what_is_done_is_not_waited_for() {
        for policy in [WaitPolicy::Adaptive, WaitPolicy::Park, WaitPolicy::Spin] {
            assert!(Backoff::new(policy).stay_awake(u64::MAX, || true));
            assert!(!Backoff::new(policy).stay_awake(0, || false));
        }
    }
}
