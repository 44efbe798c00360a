//! The report that the host prints at the end.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use callgate_client::Code;

use crate::block::{FRAMES, RATE};
use crate::cli::Role;
use crate::heard::Changes;
use crate::meter::Levels;
use crate::plan::Plan;
use crate::stats::{Stats, Time};

/// What happened during the render.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The file with the audio.
    pub(crate) output: &'a Path,
    /// The plan of the render.
    pub(crate) plan: Plan,
    /// How long the render took.
    pub(crate) took: Duration,
    /// The last levels of the meter.
    pub(crate) levels: Levels,
    /// What each plugin announced about its parameters.
    pub(crate) changes: [Changes; Role::ALL.len()],
    /// How long the calls took.
    pub(crate) stats: Stats,
    /// What happened to the filter, if anything did.
    pub(crate) accident: Option<Accident>,
}

/// How the filter was killed, and how it came back.
#[derive(Debug)]
pub(crate) struct Accident {
    /// The first block without the filter.
    pub(crate) block: u64,
    /// The error code of the call that the filter worked on.
    pub(crate) code: Code,
    /// How long after the kill that call ended.
    pub(crate) after: Duration,
    /// The first block with the filter again, and how long it took to become ready.
    pub(crate) restarted: Option<(u64, Duration)>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.stats)?;
        if let Some(accident) = &self.accident {
            let missed = self.stats.blocks_without(Role::Filter);
            writeln!(
                f,
                "{accident}{missed} blocks passed it over, none was lost\n"
            )?;
        }
        let blocks = self.plan.blocks;
        let length = (blocks * FRAMES as u64) as f64 / f64::from(RATE);
        let took = self.took.as_secs_f64();
        writeln!(f, "levels   {}", self.levels)?;
        writeln!(f, "changes  {}", self.changes().join(", "))?;
        writeln!(f, "output   {}", self.output.display())?;
        write!(
            f,
            "         {length:.2} s in {blocks} blocks, rendered in {took:.2} s"
        )
    }
}

impl Report<'_> {
    /// How many changes of parameters each plugin announced.
    fn changes(&self) -> Vec<String> {
        let all = Role::ALL.iter().zip(&self.changes);
        let heard = all.filter(|(_, changes)| changes.count > 0);
        let text = |(role, changes): (&Role, &Changes)| match changes.processes {
            2.. => format!(
                "{} {} ({} processes)",
                role.name(),
                changes.count,
                changes.processes
            ),
            _ => format!("{} {}", role.name(), changes.count),
        };
        heard.map(text).collect()
    }
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = Time::from(self.after);
        write!(
            f,
            "filter   killed at block {}, {} after {after}",
            self.block, self.code
        )?;
        if let Some((block, took)) = self.restarted {
            let took = Time::from(took);
            write!(
                f,
                ";\n         started again at block {block}, ready in {took};\n         "
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_happened_to_the_filter() {
        let mut stats = Stats::new();
        (0..32).for_each(|_| stats.passed_over(Role::Filter));
        let report = Report {
            output: Path::new("out.wav"),
            plan: Plan::new(480_000, true),
            took: Duration::from_millis(250),
            levels: Levels {
                peak: [1.0, 0.5],
                rms: [0.5, 0.5],
            },
            changes: [(1, 1), (3, 2), (2, 1), (0, 0)]
                .map(|(count, processes)| Changes { count, processes }),
            stats,
            accident: Some(Accident {
                block: 3_750,
                code: Code::ProviderGone,
                after: Duration::from_micros(150),
                restarted: Some((3_782, Duration::from_millis(3))),
            }),
        };
        let expected = "
filter   killed at block 3750, PROVIDER_GONE after 150.00 µs;
         started again at block 3782, ready in 3.00 ms;
         32 blocks passed it over, none was lost

levels   peak 0.0 / -6.0 dBFS, RMS -6.0 / -6.0 dBFS
changes  instrument 1, filter 3 (2 processes), delay 2
output   out.wav
         10.00 s in 7500 blocks, rendered in 0.25 s";
        let text = report.to_string();
        assert!(text.ends_with(expected), "{text}");
    }
}
