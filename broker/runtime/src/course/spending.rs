//! What reading a child costs the loop, and how much of that nobody has asked for.

use std::time::{Duration, Instant};

use callgate_layout::sys::cores::running_time;

/// What it takes to be woken for a child's next lines, beside reading them.
const TURN: Duration = Duration::from_micros(5);

/// Measures what the loop spends.
///
/// The time that has passed is cheap to read, and too much where the loop had to wait for a core; the time that a thread has run is a system
/// call. So the exact one is for those alone who have used up much.
pub(super) enum Watch {
    Passed { since: Instant, most: Duration },
    Run { since: u64 },
}

impl Watch {
    /// What has passed counts for `most` at most.
    pub(super) fn passed(since: Instant, most: Duration) -> Watch {
        Watch::Passed { since, most }
    }

    /// What this thread runs for.
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

/// What a line counts for at least: its writer takes about as long for it, on a core that others want, too.
const LINE: Duration = Duration::from_micros(1);

/// How much was read in a share: bytes, and something for each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weights {
    /// Of answers that somebody waits for.
    pub(super) awaited: usize,
    /// Of what nobody has asked for.
    pub(super) unasked: usize,
    /// How many lines that were.
    pub(super) lines: u32,
    /// Of a frame that has not ended, or that another thread reads: it may be such an answer.
    pub(super) unfinished: usize,
    /// What was spent before on a frame that nobody has asked for, as it turned out.
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

    /// How much of what was spent on all nobody has asked for, with what it took to be woken.
    pub(super) fn unasked_of(&self, spent: Duration) -> Duration {
        let turn = match self.unasked {
            0 => Duration::ZERO,
            _ => TURN,
        };
        let of_lines = LINE.saturating_mul(self.lines);
        self.part(self.unasked, spent + turn).max(of_lines) + self.late
    }

    /// How much of it may still turn out either way.
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
        // However fast they are read.
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
