//! What the steps of a call cost, each by itself, on one thread; and what a cell costs.
//!
//! ```text
//! cargo bench -p callgate-parts [-- NAME]
//! ```
//!
//! Each step is done in loops of a few thousand; the shortest loop of many counts, divided by
//! its length. So a figure is what the step costs when everything it touches is in the nearest
//! cache and nobody disturbs it: good for comparing one step before and after a change, not for
//! adding up to a call, in which steps overlap and lines travel between cores.
#![forbid(unsafe_code)]

mod cells;
mod steps;

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Repetitions in one loop.
const LOOP: u32 = 2000;
/// How long loops are tried.
const BUDGET: Duration = Duration::from_millis(100);

/// Measures a step and prints what it costs, if its name is wanted.
pub(crate) fn measure<T>(wanted: Option<&str>, name: &str, mut step: impl FnMut() -> T) {
    if wanted.is_some_and(|wanted| !name.contains(wanted)) {
        return;
    }
    let start = Instant::now();
    let mut least = Duration::MAX;
    while start.elapsed() < BUDGET {
        let start = Instant::now();
        for _ in 0..LOOP {
            black_box(step());
        }
        least = least.min(start.elapsed());
    }
    let nanos = least.as_nanos() as f64 / f64::from(LOOP);
    println!("{name:44} {nanos:8.1} ns");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo says `--bench`; anything else is part of a name.
    let wanted = std::env::args().skip(1).find(|one| one != "--bench");
    let wanted = wanted.as_deref();
    steps::archives(wanted);
    steps::memory(wanted)?;
    steps::clocks(wanted);
    steps::rest(wanted);
    cells::cells(wanted)
}
