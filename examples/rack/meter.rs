//! The meter: measures how loud the audio has been so far.

use std::fmt;

use callgate_client::gate_type;

/// The cell in which the meter shows its levels.
pub(crate) const LEVEL: &str = "Rack.Level";

/// How loud each channel has been since the meter was made; left, then right. Full scale is 1. So silence is a
/// number, too, which it would not be in decibels.
#[gate_type]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Levels {
    /// The highest sample.
    pub(crate) peak: [f32; 2],
    /// The root of the mean square.
    pub(crate) rms: [f32; 2],
}

impl Levels {
    /// The highest sample in decibels below full scale; silence is minus infinity.
    pub(crate) fn peak_dbfs(&self) -> [f32; 2] {
        self.peak.map(dbfs)
    }

    /// The root of the mean square in decibels below full scale.
    pub(crate) fn rms_dbfs(&self) -> [f32; 2] {
        self.rms.map(dbfs)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([peak_l, peak_r], [rms_l, rms_r]) = (self.peak_dbfs(), self.rms_dbfs());
        write!(
            f,
            "peak {peak_l:.1} / {peak_r:.1} dBFS, RMS {rms_l:.1} / {rms_r:.1} dBFS"
        )
    }
}

fn dbfs(level: f32) -> f32 {
    20.0 * level.log10()
}

/// Measures blocks without changing them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    peak: [f32; 2],
    squares: [f64; 2],
    frames: u64,
}

impl Meter {
    /// A meter that has heard nothing yet.
    pub(crate) fn new() -> Meter {
        Meter::default()
    }

    /// Measures a block frame by frame, and returns the levels so far.
    pub(crate) fn process(&mut self, frames: impl Iterator<Item = [f32; 2]>) -> Levels {
        for frame in frames {
            for (side, sample) in frame.into_iter().enumerate() {
                self.peak[side] = self.peak[side].max(sample.abs());
                self.squares[side] += f64::from(sample) * f64::from(sample);
            }
            self.frames += 1;
        }
        self.levels()
    }

    /// The levels so far.
    pub(crate) fn levels(&self) -> Levels {
        let frames = self.frames.max(1) as f64;
        Levels {
            peak: self.peak,
            rms: self.squares.map(|sum| (sum / frames).sqrt() as f32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::FRAMES;

    #[test]
    fn a_square_wave_is_as_loud_as_its_peak() {
        let mut meter = Meter::new();
        let levels = meter.process((0..FRAMES).map(|i| {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            [sign, 0.5 * sign]
        }));
        assert_eq!(levels.peak, [1.0, 0.5]);
        assert_eq!(levels.rms, [1.0, 0.5]);
        assert_eq!(
            levels.to_string(),
            "peak 0.0 / -6.0 dBFS, RMS 0.0 / -6.0 dBFS"
        );
    }

    #[test]
    fn the_peak_stays_and_the_mean_falls() {
        let mut meter = Meter::new();
        meter.process([[1.0, 1.0]; FRAMES].into_iter());
        for _ in 0..3 {
            meter.process([[0.0, 0.0]; FRAMES].into_iter());
        }
        assert_eq!(meter.levels().peak, [1.0, 1.0]);
        assert_eq!(meter.levels().rms, [0.5, 0.5]);
    }

    #[test]
    fn silence_is_minus_infinity_and_no_error() {
        assert_eq!(Meter::new().levels(), Levels::default());
        assert_eq!(Levels::default().peak_dbfs(), [f32::NEG_INFINITY; 2]);
    }
}
