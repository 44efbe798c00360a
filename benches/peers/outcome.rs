//! The results of a scenario: the blocks of each system, round by round.

use crate::block::Block;
use crate::scenario::Scenario;

/// All that a scenario gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) series: Vec<Series>,
}

/// A system's blocks, one a round.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) system: &'static str,
    pub(crate) blocks: Vec<Block>,
}

impl Outcome {
    pub(crate) fn new(scenario: Scenario) -> Outcome {
        Outcome {
            scenario,
            series: Vec::new(),
        }
    }

    /// The blocks of a system, if it took part.
    pub(crate) fn of(&self, system: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.system == system)
    }

    /// Adds a round's block; of variants of one system the fastest stays.
    pub(crate) fn add(&mut self, round: usize, system: &'static str, block: Block) {
        let found = self
            .series
            .iter_mut()
            .find(|series| series.system == system);
        let Some(series) = found else {
            self.series.push(Series {
                system,
                blocks: vec![block],
            });
            return;
        };
        match series.blocks.get_mut(round) {
            Some(other) if other.mean_ns <= block.mean_ns => {}
            Some(other) => *other = block,
            None => series.blocks.push(block),
        }
    }
}
