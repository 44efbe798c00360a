//! How long the calls took, and a table of that.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::block::DEADLINE_NS;
use crate::cli::Role;

/// What was measured while rendering.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    plugins: [PluginStats; Role::ALL.len()],
    chain: Histogram<u64>,
    late: u64,
}

#[derive(Clone, Debug)]
struct PluginStats {
    answered: Histogram<u64>,
    errors: u64,
    passed_over: u64,
}

impl Stats {
    /// Statistics with no measurements yet.
    pub(crate) fn new() -> Stats {
        Stats {
            plugins: Role::ALL.map(|_| PluginStats {
                answered: histogram(),
                errors: 0,
                passed_over: 0,
            }),
            chain: histogram(),
            late: 0,
        }
    }

    /// Records that a call to `plugin` was answered after `took`.
    pub(crate) fn answered(&mut self, plugin: Role, took: Duration) {
        record(&mut self.plugins[plugin as usize].answered, took);
    }

    /// Records that a call to `plugin` failed.
    pub(crate) fn failed(&mut self, plugin: Role) {
        self.plugins[plugin as usize].errors += 1;
    }

    /// Records that a block was rendered without `plugin`.
    pub(crate) fn passed_over(&mut self, plugin: Role) {
        self.plugins[plugin as usize].passed_over += 1;
    }

    /// Records that a block went through the whole chain in `took`.
    pub(crate) fn chain(&mut self, took: Duration) {
        record(&mut self.chain, took);
        self.late += u64::from(took.as_nanos() > u128::from(DEADLINE_NS));
    }

    /// How many blocks were rendered without `plugin`.
    pub(crate) fn blocks_without(&self, plugin: Role) -> u64 {
        self.plugins[plugin as usize].passed_over
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12}{:>9}{:>11}{:>11}",
            "plugin", "calls", "p50", "p99"
        )?;
        writeln!(f, "{:>11}{:>8}{:>13}", "max", "errors", "passed over")?;
        for (role, plugin) in Role::ALL.iter().zip(&self.plugins) {
            let calls = plugin.answered.len() + plugin.errors;
            write!(f, "{:<12}{calls:>9}", role.name())?;
            for value in summary(&plugin.answered) {
                write!(f, "{:>11}", Time(value).to_string())?;
            }
            writeln!(f, "{:>8}{:>13}", plugin.errors, plugin.passed_over)?;
        }
        write!(f, "{:<12}{:>9}", "whole chain", self.chain.len())?;
        let whole = summary(&self.chain);
        for value in whole {
            write!(f, "{:>11}", Time(value).to_string())?;
        }
        write!(f, "\n{:<21}", format!("of {}", Time(Some(DEADLINE_NS))))?;
        for value in whole {
            write!(f, "{:>11}", share(value))?;
        }
        write!(f, "   {} of {} blocks late", self.late, self.chain.len())
    }
}

/// A histogram of times up to a minute, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are valid")
}

fn record(into: &mut Histogram<u64>, took: Duration) {
    into.saturating_record(nanos(took));
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// p50, p99 and the maximum in nanoseconds; `None` if nothing was measured.
fn summary(of: &Histogram<u64>) -> [Option<u64>; 3] {
    [0.5, 0.99, 1.0].map(|q| (!of.is_empty()).then(|| of.value_at_quantile(q)))
}

/// The time as a percentage of the deadline.
fn share(ns: Option<u64>) -> String {
    ns.map_or("-".to_owned(), |ns| {
        format!("{:.1} %", 100.0 * ns as f64 / DEADLINE_NS as f64)
    })
}

/// A time in nanoseconds, printed for people.
pub(crate) struct Time(Option<u64>);

impl From<Duration> for Time {
    fn from(time: Duration) -> Time {
        Time(Some(nanos(time)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "-"),
            Some(ns @ ..1_000) => write!(f, "{ns} ns"),
            Some(ns @ ..1_000_000) => write!(f, "{:.2} µs", ns as f64 / 1e3),
            Some(ns @ ..1_000_000_000) => write!(f, "{:.2} ms", ns as f64 / 1e6),
            Some(ns) => write!(f, "{:.2} s", ns as f64 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_happened() {
        let mut stats = Stats::new();
        for n in 1..=100 {
            stats.answered(Role::Filter, Duration::from_nanos(n));
            stats.chain(Duration::from_nanos(
                DEADLINE_NS / 2 + u64::from(n == 100) * DEADLINE_NS,
            ));
        }
        stats.failed(Role::Filter);
        (0..32).for_each(|_| stats.passed_over(Role::Filter));
        let expected = "\
plugin          calls        p50        p99        max  errors  passed over
instrument          0          -          -          -       0            0
filter            101      50 ns      99 ns     100 ns       1           32
delay               0          -          -          -       0            0
meter               0          -          -          -       0            0
whole chain       100  667.13 µs  667.13 µs    2.00 ms
of 1.33 ms                50.0 %     50.0 %    150.1 %   1 of 100 blocks late";
        assert_eq!(stats.to_string(), expected);
        assert_eq!(stats.blocks_without(Role::Filter), 32);
    }

    #[test]
    fn times_have_a_unit_that_suits_them() {
        let text = |ns| Time(Some(ns)).to_string();
        assert_eq!(text(999), "999 ns");
        assert_eq!(text(1_500), "1.50 µs");
        assert_eq!(text(DEADLINE_NS), "1.33 ms");
        assert_eq!(text(2_000_000_000), "2.00 s");
    }

    #[test]
    fn what_takes_for_ever_is_counted_and_not_a_panic() {
        let mut stats = Stats::new();
        stats.chain(Duration::MAX);
        stats.chain(Duration::ZERO);
        assert!(stats.to_string().ends_with("1 of 2 blocks late"));
    }
}
