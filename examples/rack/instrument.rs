//! The instrument: a slow chord progression with a bass and an arpeggio above it.
//!
//! It keeps no state: a block depends only on its number. So it may be killed and started again at any time, and
//! continues as if nothing had happened.

use crate::block::{Block, FRAMES, RATE};
use crate::math::{saw, sine};

/// Frames in an eighth note, at 120 beats a minute.
const STEP: u64 = RATE as u64 / 4;
/// Frames for which a chord lasts.
const CHORD: u64 = 8 * STEP;
/// A bass note and three voices each: A minor, F, C, G, as MIDI note numbers.
const CHORDS: [[usize; 4]; 4] = [
    [45, 57, 60, 64],
    [41, 57, 60, 65],
    [48, 55, 60, 64],
    [43, 55, 59, 62],
];
/// The arpeggio: which voice of the chord each step plays; past the third, an octave higher.
const PATTERN: [usize; 8] = [0, 2, 1, 3, 2, 4, 3, 1];
/// The lowest octave, in Hz; each octave above doubles it.
const SEMITONES: [f64; 12] = [
    8.175798915643707,
    8.661957218027252,
    9.177023997418988,
    9.722718241315029,
    10.300861153527183,
    10.913382232281373,
    11.562325709738575,
    12.249857374429663,
    12.978271799373287,
    13.75,
    14.567617547440307,
    15.433853164253883,
];

/// Block number `number` of the piece, which never ends and repeats every eight seconds.
pub(crate) fn render(number: u64) -> Block {
    let start = number.wrapping_mul(FRAMES as u64);
    Block::from_fn(|i| frame(start.wrapping_add(i as u64)))
}

/// The lowest note of the chord with which block number `number` begins, as a MIDI note number.
pub(crate) fn root(number: u64) -> f32 {
    let [root, ..] = chord(number.wrapping_mul(FRAMES as u64) / CHORD);
    root as f32
}

fn frame(at: u64) -> [f32; 2] {
    let voices = [pad(at), bass(at), pluck(at, 0), pluck(at, 1)];
    voices.iter().fold([0.0, 0.0], |sum, voice| {
        [sum[0] + voice[0], sum[1] + voice[1]]
    })
}

/// The chord itself: sawtooths, a little out of tune between left and right.
fn pad(at: u64) -> [f32; 2] {
    let since = at % CHORD;
    let level = 0.07 * rise(since, STEP) * rise(CHORD - since, STEP / 2);
    let mut out = [0.0, 0.0];
    for &note in &chord(at / CHORD)[1..] {
        for (side, detune) in out.iter_mut().zip([0.998, 1.002]) {
            let step = turns_a_frame(note) * detune;
            *side += level * saw(phase(step, since), step);
        }
    }
    out
}

/// The bass: one long note a chord.
fn bass(at: u64) -> [f32; 2] {
    let since = at % CHORD;
    let step = turns_a_frame(chord(at / CHORD)[0]);
    let tone = sine(phase(step, since)) + 0.4 * sine(phase(2.0 * step, since));
    let level = 0.16 * rise(since, 480) * rise(CHORD - since, CHORD);
    [level * tone, level * tone]
}

/// The arpeggio's note that began `back` steps ago; each rings for two.
fn pluck(at: u64, back: u64) -> [f32; 2] {
    let Some(step) = (at / STEP).checked_sub(back) else {
        return [0.0, 0.0]; // before the piece began
    };
    let since = at - step * STEP;
    let voice = PATTERN[(step % 8) as usize];
    let note = chord(step / 8)[1 + voice % 3] + 12 * (1 + voice / 3);
    let turn = turns_a_frame(note);
    let tone = sine(phase(turn, since)) + 0.3 * sine(phase(3.0 * turn, since));
    let fade = rise(2 * STEP - since, 2 * STEP);
    let level = 0.2 * rise(since, 96) * fade * fade * fade;
    let pan = if step % 2 == 0 { 0.75 } else { 0.25 };
    [level * tone * pan, level * tone * (1.0 - pan)]
}

fn chord(number: u64) -> [usize; 4] {
    CHORDS[(number % CHORDS.len() as u64) as usize]
}

/// From 0 at frame 0 to 1 at frame `over`, and 1 ever after.
fn rise(at: u64, over: u64) -> f32 {
    at.min(over) as f32 / over as f32
}

fn turns_a_frame(note: usize) -> f64 {
    SEMITONES[note % 12] * f64::from(1_u32 << (note / 12)) / f64::from(RATE)
}

fn phase(turns_a_frame: f64, frames: u64) -> f64 {
    (turns_a_frame * frames as f64).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(blocks: std::ops::Range<u64>) -> Vec<[f32; 2]> {
        blocks
            .flat_map(|n| render(n).frames().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_block_is_the_same_whoever_renders_it_and_when() {
        let forwards: Vec<Block> = (0..200).map(render).collect();
        let mut backwards: Vec<Block> = (0..200).rev().map(render).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn it_is_neither_silent_nor_too_loud_in_any_second() {
        for second in 0..8 {
            let frames = frames(second * 750..(second + 1) * 750);
            for side in 0..2 {
                let peak = frames.iter().map(|f| f[side].abs()).fold(0.0, f32::max);
                assert!((0.1..0.95).contains(&peak), "second {second}: {peak}");
            }
        }
    }

    #[test]
    fn it_does_not_click_where_notes_begin_and_end() {
        let frames = frames(0..6_000);
        for chord in 1..4 {
            let at = (chord * CHORD) as usize;
            let step = (frames[at][0] - frames[at - 1][0]).abs();
            assert!(step < 0.05, "chord {chord} begins with a step of {step}");
        }
    }

    #[test]
    fn concert_pitch_is_440_hz() {
        assert!((turns_a_frame(69) * f64::from(RATE) - 440.0).abs() < 1e-9);
    }

    #[test]
    fn it_repeats_after_eight_seconds_and_takes_any_number() {
        assert_eq!(render(6_000 + 375), render(6_000 * 2 + 375));
        let _ = render(u64::MAX);
    }
}
