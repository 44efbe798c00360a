//! The rack without a bus: the same plugins in one process, one after the other.
//!
//! The output of the real rack must be identical, bit by bit.

use crate::block::Block;
use crate::delay::Delay;
use crate::filter::Filter;
use crate::instrument;
use crate::meter::{Levels, Meter};
use crate::plan::{Plan, Step};
use crate::response;
use crate::wav::Clip;

/// Renders the piece, or `clip` if there is one, according to `plan`. Each block goes to `sink`.
pub(crate) fn render<E>(
    plan: Plan,
    clip: Option<&Clip>,
    mut sink: impl FnMut(&Block) -> Result<(), E>,
) -> Result<Levels, E> {
    let (mut filter, mut meter) = (Filter::new(), Meter::new());
    let mut samples = vec![0.0; response::LEN];
    response::fill(&mut samples);
    let mut delay = Delay::new(samples);
    for number in 0..plan.blocks {
        let mut block = match clip {
            Some(clip) => clip.block(number),
            None => instrument::render(number),
        };
        match plan.step(number) {
            Step::Play => block = filter.process(number, &block),
            Step::Kill | Step::PassOver => {}
            Step::Restart => {
                filter = Filter::new();
                block = filter.process(number, &block);
            }
        }
        block = delay.process(&block);
        meter.process(block.frames());
        sink(&block)?;
    }
    Ok(meter.levels())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PASSED_OVER, frames_in};
    use std::convert::Infallible;

    fn blocks(plan: Plan) -> (Vec<Block>, Levels) {
        let mut blocks = Vec::new();
        let sink = |block: &Block| {
            blocks.push(block.clone());
            Ok::<(), Infallible>(())
        };
        let levels = render(plan, None, sink).unwrap();
        (blocks, levels)
    }

    /// FNV-1a over the bits of the samples.
    fn fingerprint(blocks: &[Block]) -> u64 {
        let samples = blocks
            .iter()
            .flat_map(|b| b.frames().flatten().collect::<Vec<_>>());
        samples
            .flat_map(|s| s.to_bits().to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            })
    }

    /// The output is the same in every run, in every build and on every machine. Change the number only if the music
    /// is meant to change.
    #[test]
    fn ten_seconds_sound_as_they_always_did() {
        let (blocks, levels) = blocks(Plan::new(frames_in(10.0), true));
        assert_eq!(blocks.len(), 7_500);
        assert!(
            levels.peak.iter().all(|p| (0.3..1.0).contains(p)),
            "{levels}"
        );
        assert!(
            levels.rms.iter().all(|r| (0.05..0.5).contains(r)),
            "{levels}"
        );
        assert_eq!(fingerprint(&blocks), 0x89eb_0ac1_587b_79f8);
    }

    #[test]
    fn the_accident_can_be_heard_and_loses_no_block() {
        let length = frames_in(1.0);
        let ((with, _), (without, _)) = (
            blocks(Plan::new(length, true)),
            blocks(Plan::new(length, false)),
        );
        assert_eq!(with.len(), without.len());
        let kill = with.len() / 2;
        assert_eq!(with[..kill], without[..kill]);
        for n in kill..kill + PASSED_OVER as usize {
            assert_ne!(with[n], without[n], "block {n}");
        }
    }
}
