//! Measures the time that reading a child costs the loop, and the part of it that nobody asked for.

use std::time::{Duration, Instant};

use callgate_layout::sys::cores::running_time;

/// The cost of waking the loop for a child's next lines, in addition to reading them.
const TURN: Duration = Duration::from_micros(5);

/// Measures the time that the loop spends.
///
/// The time that has passed is cheap to read, but too high if the loop had to wait for a core. The running time of the thread is exact, but
/// costs a system call. So the exact one is used only for children that have used up much of their budget.
pub(super) enum Watch {
    Passed { since: Instant, most: Duration },
    Run { since: u64 },
}

impl Watch {
    /// Measures the time that passes, of which at most `most` counts.
    pub(super) fn passed(since: Instant, most: Duration) -> Watch {
        Watch::Passed { since, most }
    }

    /// Measures the running time of this thread.
    pub(super) fn run() -> Watch {
        Watch::Run {
            since: running_time(),
        }
    }

    pub(super) fn spent(self) -> Duration {
        match self {
            Watch::Passed { since, most } => since.elapsed().min(most),
            Watch::Run { since } => Duration::from_nanos(running_time().saturating_sub(since)),
        }
    }
}

/// The least that a line counts: its writer takes about as long to write it, on a core that others want as well.
const LINE: Duration = Duration::from_micros(1);

/// How much was read in one share: bytes, and a fixed amount for each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weights {
    /// Answers that a caller waits for.
    pub(super) awaited: usize,
    /// Output that nobody asked for.
    pub(super) unasked: usize,
    /// The number of lines that nobody asked for.
    pub(super) lines: u32,
    /// A frame that has not ended, or that another thread is parsing: it may turn out to be an awaited answer.
    pub(super) unfinished: usize,
    /// Time spent earlier on a frame that turned out to be one that nobody asked for.
    pub(super) late: Duration,
}

impl Weights {
    pub(super) fn total(&self) -> usize {
        self.awaited + self.unasked + self.unfinished
    }

    pub(super) fn add(&mut self, other: Weights) {
        self.awaited += other.awaited;
        self.unasked += other.unasked;
        self.lines += other.lines;
        self.unfinished += other.unfinished;
        self.late += other.late;
    }

    /// The part of the time `spent` that nobody asked for, including the cost of being woken.
    pub(super) fn unasked_of(&self, spent: Duration) -> Duration {
        let turn = match self.unasked {
            0 => Duration::ZERO,
            _ => TURN,
        };
        let of_lines = LINE.saturating_mul(self.lines);
        self.part(self.unasked, spent + turn).max(of_lines) + self.late
    }

    /// The part of the time `spent` on frames of which it is not known yet what they are.
    pub(super) fn unfinished_of(&self, spent: Duration) -> Duration {
        self.part(self.unfinished, spent)
    }

    fn part(&self, weight: usize, spent: Duration) -> Duration {
        let nanos = spent.as_nanos() * weight as u128 / self.total().max(1) as u128;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_somebody_waits_for_are_free() {
        let spent = Duration::from_micros(100);
        let mut weights = Weights {
            awaited: 1000,
            ..Weights::default()
        };
        assert_eq!(weights.unasked_of(spent), Duration::ZERO);
        assert_eq!(weights.unfinished_of(spent), Duration::ZERO);
        weights.add(Weights {
            unasked: 500,
            unfinished: 500,
            late: 7 * spent,
            ..Weights::default()
        });
        assert_eq!(weights.unasked_of(spent), (spent + TURN) / 4 + 7 * spent);
        assert_eq!(weights.unfinished_of(spent), spent / 4);
        assert_eq!(Weights::default().unasked_of(spent), Duration::ZERO);
        // The least time for each line counts, however fast the lines were read.
        weights.lines = 1000;
        assert_eq!(weights.unasked_of(spent), 1000 * LINE + 7 * spent);
    }

    #[test]
    fn a_loop_that_waited_for_a_core_charges_nobody_all_of_that() {
        let (since, most) = (
            Instant::now() - Duration::from_secs(1),
            Duration::from_millis(1),
        );
        assert_eq!(Watch::passed(since, most).spent(), most);
        let watch = Watch::run();
        std::thread::sleep(Duration::from_millis(200));
        assert!(watch.spent() < Duration::from_millis(100));
    }
}
