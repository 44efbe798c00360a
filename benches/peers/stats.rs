//! Medians and how sure they are.

use rand::RngExt;
use rand::rngs::StdRng;

/// How many times a sample is drawn anew.
const RESAMPLES: usize = 2000;

/// The median; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// A median and the interval in which 95 % of the medians lie that a bootstrap draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    pub(crate) fn of(values: &[f64], random: &mut StdRng) -> Estimate {
        let middle = median(values);
        if values.is_empty() {
            return Estimate {
                median: middle,
                low: middle,
                high: middle,
            };
        }
        let mut drawn = vec![0.0; values.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                drawn.fill_with(|| values[random.random_range(..values.len())]);
                median(&drawn)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        Estimate {
            median: middle,
            low: medians[RESAMPLES / 40],
            high: medians[RESAMPLES - 1 - RESAMPLES / 40],
        }
    }
}
