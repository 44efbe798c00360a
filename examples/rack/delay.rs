//! The delay: repeats what it has heard, as its impulse response says.

use std::ops::Deref;

use crate::block::Block;
use crate::math::hush;

/// Adds to each frame the earlier ones, mixed to mono, each as loud as the response is at that distance. Responses
/// that are mostly silent, such as echoes, take little time.
///
/// It allocates all its memory when it is made. [`process`](Delay::process) allocates nothing, as it must be where
/// every block has a deadline. The response is read in place, whatever type holds it.
#[derive(Clone, Debug)]
pub(crate) struct Delay<R> {
    /// Left and right samples in turn.
    response: R,
    /// The frames at which the response is not silent.
    loud: Vec<usize>,
    /// The mono sums of as many past frames as the response has, in a ring.
    line: Box<[f32]>,
    at: usize,
}

impl<R: Deref<Target = [f32]>> Delay<R> {
    /// A delay that has heard nothing yet.
    pub(crate) fn new(response: R) -> Delay<R> {
        let frames = response.len() / 2;
        let is_loud = |frame: &usize| response[2 * frame..2 * frame + 2] != [0.0, 0.0];
        Delay {
            loud: (0..frames).filter(is_loud).collect(),
            line: vec![0.0; frames.max(1)].into_boxed_slice(),
            at: 0,
            response,
        }
    }

    /// Adds the echoes of all earlier blocks to this one.
    pub(crate) fn process(&mut self, input: &Block) -> Block {
        input.map(|[l, r]| {
            let frames = self.line.len();
            self.line[self.at] = hush(0.5 * (l + r));
            let (mut left, mut right) = (l, r);
            for &frame in &self.loud {
                let heard = self.line[(self.at + frames - frame) % frames];
                left += self.response[2 * frame] * heard;
                right += self.response[2 * frame + 1] * heard;
            }
            self.at = (self.at + 1) % frames;
            [left, right]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{FRAMES, RATE, blocks_for};
    use crate::response::{self, FEEDBACK, TIME, WET};

    fn delay() -> Delay<Vec<f32>> {
        let mut response = vec![0.0; response::LEN];
        response::fill(&mut response);
        Delay::new(response)
    }

    /// The output for one loud frame.
    fn answer_to_a_click(blocks: u64) -> Vec<[f32; 2]> {
        let mut delay = delay();
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
        let seconds = 20;
        let out = answer_to_a_click(blocks_for(seconds * u64::from(RATE)));
        let tail = &out[out.len() - TIME..];
        assert!(tail.iter().all(|f| *f == [0.0, 0.0]));
    }

    #[test]
    fn steady_input_does_not_grow_without_end() {
        let mut delay = delay();
        for _ in 0..20 * TIME / FRAMES {
            let out = delay.process(&Block::from_fn(|_| [1.0; 2]));
            assert!(out.frames().flatten().all(|x| x < 2.0));
        }
    }

    /// A response may be as short as one frame, and may begin at once.
    #[test]
    fn any_response_will_do() {
        let mut dry = Delay::new(&[][..]);
        let mut double = Delay::new(&[1.0, 1.0, 0.0][..]);
        let block = Block::from_fn(|_| [0.5, 0.5]);
        assert_eq!(dry.process(&block), block);
        assert_eq!(double.process(&block), Block::from_fn(|_| [1.0, 1.0]));
    }
}
