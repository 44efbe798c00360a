//! Just enough mathematics for sound, from additions, multiplications and divisions alone.
//!
//! The sine and tangent of the system's library differ between machines in their last bits. These functions give the
//! same bits everywhere, and are more precise than an ear.

/// The sine of a phase counted in turns, for 0 ≤ `turns` < 1 (Bhaskara's formula, within 0.002).
pub(crate) fn sine(turns: f64) -> f32 {
    let (half, sign) = if turns < 0.5 {
        (2.0 * turns, 1.0)
    } else {
        (2.0 * turns - 1.0, -1.0)
    };
    let bow = 4.0 * half * (1.0 - half);
    (sign * 4.0 * bow / (5.0 - bow)) as f32
}

/// A sawtooth at a phase counted in turns. `step` is how far the phase advances in one frame. The edge is rounded by
/// it, so that it does not ring at unwanted frequencies (PolyBLEP).
pub(crate) fn saw(turns: f64, step: f64) -> f32 {
    let corner = if turns < step {
        let t = turns / step;
        t + t - t * t - 1.0
    } else if turns > 1.0 - step {
        let t = (turns - 1.0) / step;
        t * t + t + t + 1.0
    } else {
        0.0
    };
    (2.0 * turns - 1.0 - corner) as f32
}

/// The tangent of an angle in radians, for 0 ≤ `x` < 0.8 (within 0.001).
pub(crate) fn tan(x: f32) -> f32 {
    x * (15.0 - x * x) / (15.0 - 6.0 * x * x)
}

/// Zero for values too small to hear: processors are slow with numbers close to zero, and a fading echo would end in
/// them.
pub(crate) fn hush(x: f32) -> f32 {
    if x.abs() < 1e-15 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_tangent_are_near_the_real_ones() {
        for i in 0..1_000 {
            let x = f64::from(i) / 1_000.0;
            let real = (x * std::f64::consts::TAU).sin() as f32;
            assert!((sine(x) - real).abs() < 0.002, "sine({x})");
            let x = 0.8 * x as f32;
            assert!((tan(x) - x.tan()).abs() < 0.001, "tan({x})");
        }
    }

    #[test]
    fn a_sawtooth_stays_in_range_and_has_no_offset() {
        let samples: Vec<f32> = (0..1_000)
            .map(|i| saw(f64::from(i) / 1_000.0, 0.01))
            .collect();
        assert!(samples.iter().all(|s| s.abs() <= 1.0));
        assert!(samples.iter().sum::<f32>().abs() < 2.0);
    }

    #[test]
    fn hush_keeps_what_can_be_heard() {
        assert_eq!(hush(1e-16), 0.0);
        assert_eq!(hush(-1e-6), -1e-6);
    }
}
