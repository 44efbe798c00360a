//! What the host does at which block: the length of the piece, and the kill half way.

use crate::block::{RATE, blocks_for};

/// For how many blocks the host continues without the filter after it has killed it.
pub(crate) const PASSED_OVER: u64 = 32;

/// The shortest piece, in blocks: the kill, and some blocks before and after it.
pub(crate) const MIN_BLOCKS: u64 = 75;

/// How long the piece is, and whether and where the filter is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Blocks to render.
    pub(crate) blocks: u64,
    /// The first block without the filter.
    pub(crate) kill_at: Option<u64>,
}

/// What to do about the filter for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: call it like the others.
    Play,
    /// Kill it, then render this block without it.
    Kill,
    /// Render this block without it.
    PassOver,
    /// Start it again and wait until it is ready, then render this block with it.
    Restart,
}

impl Plan {
    /// A plan for `frames` frames; `kill` says whether the filter is killed.
    pub(crate) fn new(frames: u64, kill: bool) -> Plan {
        let blocks = blocks_for(frames).max(MIN_BLOCKS);
        Plan {
            blocks,
            kill_at: kill.then_some(blocks / 2),
        }
    }

    /// What to do about the filter for block `number`.
    pub(crate) fn step(&self, number: u64) -> Step {
        match self.kill_at.and_then(|kill| number.checked_sub(kill)) {
            Some(0) => Step::Kill,
            Some(since) if since < PASSED_OVER => Step::PassOver,
            Some(PASSED_OVER) => Step::Restart,
            _ => Step::Play,
        }
    }
}

/// The number of frames in `seconds` seconds, rounded up.
pub(crate) fn frames_in(seconds: f64) -> u64 {
    (seconds * f64::from(RATE)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_away_for_exactly_32_blocks() {
        for frames in [0, 1, frames_in(0.1), frames_in(10.0), frames_in(3_600.0)] {
            let plan = Plan::new(frames, true);
            let steps: Vec<Step> = (0..plan.blocks).map(|n| plan.step(n)).collect();
            let count = |step| steps.iter().filter(|s| **s == step).count() as u64;
            assert_eq!(count(Step::Kill), 1);
            assert_eq!(count(Step::Kill) + count(Step::PassOver), PASSED_OVER);
            assert_eq!(count(Step::Restart), 1);
            assert_eq!(steps[(plan.blocks / 2) as usize], Step::Kill);
            assert_eq!(steps.last(), Some(&Step::Play));
        }
    }

    #[test]
    fn without_an_accident_it_only_plays() {
        let plan = Plan::new(frames_in(1.0), false);
        assert_eq!(plan.blocks, 750);
        assert!((0..plan.blocks).all(|n| plan.step(n) == Step::Play));
    }

    #[test]
    fn ten_seconds_are_7500_blocks() {
        assert_eq!(Plan::new(frames_in(10.0), true).blocks, 7_500);
        assert_eq!(Plan::new(frames_in(10.0), true).kill_at, Some(3_750));
    }
}
