//! The impulse response of the delay: its output for one loud frame.
//!
//! It is a row of samples, left and right in turn, like the recording of a room. The host makes it once, in shared
//! memory; the delay reads it in place.

use crate::block::RATE;

/// The tag under which it is shared.
pub(crate) const TAG: &str = "Rack.Response";
/// Frames until the first echo, and from each to the next: three sixteenth notes at 120 beats a minute.
pub(crate) const TIME: usize = RATE as usize * 3 / 8;
/// How much of an echo comes back in the next one on the same side.
pub(crate) const FEEDBACK: f32 = 0.45;
/// How loud the first echo is.
pub(crate) const WET: f32 = 0.35;
/// How many echoes there are. The next one would be too quiet for 16 bits.
const ECHOES: usize = 24;
/// The number of samples.
pub(crate) const LEN: usize = 2 * (ECHOES * TIME + 1);

/// Writes the response: echoes that bounce from left to right.
pub(crate) fn fill(samples: &mut [f32]) {
    samples.fill(0.0);
    let mut loudness = WET;
    for echo in 0..ECHOES {
        let side = echo % 2;
        samples[2 * (echo + 1) * TIME + side] = loudness;
        // The right channel repeats the left one, and then both become fainter.
        if side == 1 {
            loudness *= FEEDBACK;
        }
    }
}
