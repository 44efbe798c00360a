//! The delay: echoes that bounce from left to right.

use crate::block::{Block, RATE};
use crate::math::hush;

/// Frames until the echo: three sixteenth notes at 120 beats a minute.
const TIME: usize = RATE as usize * 3 / 8;
/// How much of an echo comes back in the next one.
pub(crate) const FEEDBACK: f32 = 0.45;
/// How loud the first echo is.
const WET: f32 = 0.35;

/// A ping-pong delay. All its memory is taken when it is made; [`process`](Delay::process)
/// allocates nothing, as it should be where every block has a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Delay {
    line: Box<[[f32; 2]]>,
    at: usize,
}

impl Delay {
    /// A delay that has heard nothing yet.
    pub(crate) fn new() -> Delay {
        Delay {
            line: vec![[0.0; 2]; TIME].into_boxed_slice(),
            at: 0,
        }
    }

    /// Adds the echoes of all earlier blocks to this one.
    pub(crate) fn process(&mut self, input: &Block) -> Block {
        input.map(|[l, r]| {
            let slot = &mut self.line[self.at];
            let [echo_l, echo_r] = *slot;
            // What comes in goes to the left, what was left to the right, what was right to the left.
            *slot = [hush(0.5 * (l + r) + FEEDBACK * echo_r), hush(echo_l)];
            self.at = (self.at + 1) % TIME;
            [l + WET * echo_l, r + WET * echo_r]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{FRAMES, blocks_for};

    /// What comes out when one loud frame goes in.
    fn answer_to_a_click(blocks: u64) -> Vec<[f32; 2]> {
        let mut delay = Delay::new();
        (0..blocks)
            .flat_map(|n| {
                let click = Block::from_fn(|i| if n == 0 && i == 0 { [1.0; 2] } else { [0.0; 2] });
                delay.process(&click).frames().collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn echoes_alternate_between_the_sides_and_fade() {
        let out = answer_to_a_click(blocks_for(4 * TIME as u64 + 1));
        assert_eq!(out[0], [1.0, 1.0]);
        assert_eq!(out[TIME], [WET, 0.0]);
        assert_eq!(out[2 * TIME], [0.0, WET]);
        assert_eq!(out[3 * TIME], [WET * FEEDBACK, 0.0]);
        assert_eq!(out[4 * TIME], [0.0, WET * FEEDBACK]);
        let heard = out[..=4 * TIME]
            .iter()
            .filter(|f| **f != [0.0, 0.0])
            .count();
        assert_eq!(heard, 5);
    }

    #[test]
    fn it_comes_to_rest() {
        let seconds = 60;
        let out = answer_to_a_click(blocks_for(seconds * u64::from(RATE)));
        let tail = &out[out.len() - TIME..];
        assert!(tail.iter().all(|f| *f == [0.0, 0.0]));
    }

    #[test]
    fn steady_input_does_not_grow_without_end() {
        let mut delay = Delay::new();
        for _ in 0..20 * TIME / FRAMES {
            let out = delay.process(&Block::from_fn(|_| [1.0; 2]));
            assert!(out.frames().flatten().all(|x| x < 2.0));
        }
    }
}
