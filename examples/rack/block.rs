//! The block of audio that the plugins pass to each other.

use callgate_client::gate_type;

/// Frames per second, everywhere in the rack.
pub(crate) const RATE: u32 = 48_000;

/// Frames in a block.
pub(crate) const FRAMES: usize = 64;

/// How long a block takes to play, in nanoseconds. A chain that plays live has this much time for each block, 1.333
/// ms.
pub(crate) const DEADLINE_NS: u64 = FRAMES as u64 * 1_000_000_000 / RATE as u64;

/// 64 frames of stereo audio; full scale is -1 to 1.
///
/// `gate_type` is enough to send it from process to process. It also makes `ArchivedBlock`: the block in the form in
/// which it lies in the call that brought it.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// The left channel.
    pub(crate) left: [f32; FRAMES],
    /// The right channel.
    pub(crate) right: [f32; FRAMES],
}

impl Block {
    /// A silent block.
    pub(crate) const SILENCE: Block = Block {
        left: [0.0; FRAMES],
        right: [0.0; FRAMES],
    };

    /// A block whose frame `i` is `frame(i)`, left then right.
    pub(crate) fn from_fn(mut frame: impl FnMut(usize) -> [f32; 2]) -> Block {
        let mut block = Block::SILENCE;
        for i in 0..FRAMES {
            [block.left[i], block.right[i]] = frame(i);
        }
        block
    }

    /// The frames in the order in which they are played, left then right.
    pub(crate) fn frames(&self) -> impl Iterator<Item = [f32; 2]> + '_ {
        self.left.iter().zip(&self.right).map(|(&l, &r)| [l, r])
    }

    /// The block with `effect` applied to each frame in order.
    pub(crate) fn map(&self, mut effect: impl FnMut([f32; 2]) -> [f32; 2]) -> Block {
        Block::from_fn(|i| effect([self.left[i], self.right[i]]))
    }
}

impl ArchivedBlock {
    /// The frames of a block that is read in place, as [`Block::frames`].
    pub(crate) fn frames(&self) -> impl Iterator<Item = [f32; 2]> + '_ {
        let frames = self.left.iter().zip(&self.right);
        frames.map(|(l, r)| [l.to_native(), r.to_native()])
    }
}

/// The number of blocks that hold `frames` frames.
pub(crate) fn blocks_for(frames: u64) -> u64 {
    frames.div_ceil(FRAMES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_the_order_they_went_in() {
        let block = Block::from_fn(|i| [i as f32, -(i as f32)]);
        for (i, frame) in block.frames().enumerate() {
            assert_eq!(frame, [i as f32, -(i as f32)]);
        }
        assert_eq!(block.map(|[l, r]| [r, l]).left, block.right);
    }

    #[test]
    fn a_started_block_counts() {
        assert_eq!([0, 1, 64, 65].map(blocks_for), [0, 1, 1, 2]);
        assert_eq!(blocks_for(10 * u64::from(RATE)), 7_500);
        assert_eq!(DEADLINE_NS, 1_333_333);
    }
}
