//! The filter: a stereo low-pass whose cutoff slowly sweeps up and down.
//!
//! Its state is what it has heard before, so a filter that is started again after a crash begins at rest. The cutoff
//! depends only on the block's number, so the sweep continues where it was.

use crate::block::{Block, RATE};
use crate::math::{hush, tan};

/// The number of blocks in which the sweep goes up and down once: eight seconds.
const SWEEP: u64 = 6_000;
/// The cutoff at the lowest and the highest point, in Hz.
const CUTOFF: [f32; 2] = [250.0, 6_000.0];
/// How much the resonance is damped: 2 removes all of it, with 0 it would whistle for ever.
const DAMPING: f32 = 1.1;

/// A state-variable filter for two channels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    channels: [Channel; 2],
}

/// The state of one channel: the charges of the two capacitors of the circuit that this filter models.
#[derive(Clone, Debug, Default)]
struct Channel {
    band: f32,
    low: f32,
}

impl Filter {
    /// A filter at rest.
    pub(crate) fn new() -> Filter {
        Filter::default()
    }

    /// Filters block number `number`.
    pub(crate) fn process(&mut self, number: u64, input: &Block) -> Block {
        let gains = Gains::at(cutoff(number));
        let [left, right] = &mut self.channels;
        let output = input.map(|[l, r]| [left.process(&gains, l), right.process(&gains, r)]);
        for channel in &mut self.channels {
            channel.band = hush(channel.band);
            channel.low = hush(channel.low);
        }
        output
    }
}

/// The cutoff during block `number`, in Hz: a triangle on a logarithmic scale, so that the sweep sounds even.
fn cutoff(number: u64) -> f32 {
    let at = number % SWEEP;
    let height = at.min(SWEEP - at) as f32 / (SWEEP / 2) as f32;
    CUTOFF[0] + (CUTOFF[1] - CUTOFF[0]) * height * height
}

/// The same in steps of a third of an octave, for listeners that only show it.
pub(crate) fn cutoff_in_steps(number: u64) -> f32 {
    let step = (3.0 * (cutoff(number) / CUTOFF[0]).log2()).floor();
    CUTOFF[0] * (step / 3.0).exp2()
}

/// The coefficients of the circuit for a cutoff (Simper's trapezoidal state-variable filter).
struct Gains([f32; 3]);

impl Gains {
    fn at(cutoff: f32) -> Gains {
        let g = tan(std::f32::consts::PI * cutoff / RATE as f32);
        let first = 1.0 / (1.0 + g * (g + DAMPING));
        Gains([first, g * first, g * g * first])
    }
}

impl Channel {
    fn process(&mut self, gains: &Gains, input: f32) -> f32 {
        let Gains([a, b, c]) = gains;
        let high = input - self.low;
        let band = a * self.band + b * high;
        let low = self.low + b * self.band + c * high;
        self.band = 2.0 * band - self.band;
        self.low = 2.0 * low - self.low;
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::FRAMES;

    /// A square wave that changes sign every `half` frames.
    fn square(number: u64, half: usize) -> Block {
        Block::from_fn(|i| {
            let at = number as usize * FRAMES + i;
            let on = (at / half).is_multiple_of(2);
            [if on { 1.0 } else { -1.0 }; 2]
        })
    }

    fn peak(block: &Block) -> f32 {
        block.frames().flatten().map(f32::abs).fold(0.0, f32::max)
    }

    #[test]
    fn what_stands_still_passes_and_what_is_high_does_not() {
        let (mut steady, mut high) = (Filter::new(), Filter::new());
        let (mut steady_out, mut high_out) = (Block::SILENCE, Block::SILENCE);
        for n in 0..100 {
            steady_out = steady.process(n, &Block::from_fn(|_| [1.0, -1.0]));
            high_out = high.process(n, &square(n, 2));
        }
        assert!((steady_out.left[0] - 1.0).abs() < 0.001);
        assert!((steady_out.right[0] + 1.0).abs() < 0.001);
        assert!(peak(&high_out) < 0.01);
    }

    #[test]
    fn the_sweep_opens_half_way_and_comes_back() {
        assert_eq!(cutoff(0), CUTOFF[0]);
        assert_eq!(cutoff(SWEEP / 2), CUTOFF[1]);
        assert_eq!(cutoff(SWEEP), CUTOFF[0]);
        assert!((0..SWEEP / 2).all(|n| cutoff(n) < cutoff(n + 1)));
    }

    #[test]
    fn the_steps_are_few_and_no_higher_than_the_cutoff() {
        let steps: Vec<_> = (0..SWEEP / 2).map(cutoff_in_steps).collect();
        assert!((0..SWEEP / 2).all(|n| steps[n as usize] <= cutoff(n) * 1.001));
        let mut changes = steps;
        changes.dedup();
        // 250 Hz to 6 kHz are four octaves and a half.
        assert_eq!(changes.len(), 14);
        assert_eq!(changes[0], CUTOFF[0]);
    }

    #[test]
    fn the_loudest_input_does_not_make_it_run_away() {
        let mut filter = Filter::new();
        for n in 0..2 * SWEEP {
            assert!(peak(&filter.process(n, &square(n, 48))) < 2.0, "block {n}");
        }
    }

    #[test]
    fn a_filter_started_again_begins_from_rest() {
        let mut old = Filter::new();
        let fresh = Filter::new().process(32, &square(32, 48));
        for n in 0..32 {
            old.process(n, &square(n, 48));
        }
        assert_ne!(old.process(32, &square(32, 48)), fresh);
        assert_eq!(Filter::new().process(32, &square(32, 48)), fresh);
    }

    #[test]
    fn silence_brings_it_to_rest() {
        let mut filter = Filter::new();
        filter.process(0, &square(0, 48));
        for n in 1..1_000 {
            filter.process(n, &Block::SILENCE);
        }
        assert_eq!(filter.process(1_000, &Block::SILENCE), Block::SILENCE);
    }
}
