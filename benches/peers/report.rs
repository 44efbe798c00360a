//! The rows of the report, as a table and as JSON.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::Result;
use crate::outcome::{Outcome, Series};
use crate::run;
use crate::scenario::{ONE_CALLER, Scenario};
use crate::stats::{Estimate, median};

/// Where less than this share of the rounds was quiet, ratios are over all of them, which is then
/// said: a few quiet ones are those in which the host moved the cores about.
const ENOUGH_QUIET: f64 = 0.5;

#[derive(Debug, Serialize)]
struct Report {
    host: Host,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Host {
    cpu: String,
    cores: usize,
    kernel: String,
    date: String,
}

/// A system in a scenario. Times are medians over blocks, quantiles are of single calls.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) system: &'static str,
    placement: &'static str,
    pub(crate) mean_ns: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    per_second: f64,
    pub(crate) cpu_ns_per_op: f64,
    /// How often the callee slept for a call.
    sleeps_per_op: f64,
    /// Page faults of both sides for a call.
    faults_per_op: f64,
    blocks: usize,
    /// What the ratio is to: the limit, except where one caller stands in its place.
    reference: &'static str,
    ratio_to_limit: f64,
    ratio_ci: [f64; 2],
    /// How many blocks the ratio is over, and whether they include disturbed ones because hardly
    /// any other is left.
    ratio_blocks: usize,
    ratio_disturbed: bool,
    /// For the table: what it took beyond the limit.
    #[serde(skip)]
    beyond_ns: f64,
}

impl Row {
    pub(crate) fn p99(&self) -> f64 {
        self.p99_ns as f64
    }
}

/// The rounds that ratios are over.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    pub(crate) counted: Vec<usize>,
    /// In how many the limit ran undisturbed; all where it sleeps and so does not tell.
    quiet: usize,
    all: usize,
}

impl Rounds {
    /// Those in which the limit ran undisturbed; all where they are too few.
    pub(crate) fn of(outcome: &Outcome) -> Rounds {
        let reference = outcome.of(outcome.scenario.reference());
        let blocks = reference.map_or(&[][..], |series| &series.blocks);
        let all = 0..blocks.len();
        let Some(can_be) = outcome.scenario.limit_ns() else {
            return Rounds {
                quiet: all.len(),
                all: all.len(),
                counted: all.collect(),
            };
        };
        let is_quiet = |round: &usize| can_be.contains(&blocks[*round].mean_ns);
        let quiet: Vec<usize> = all.clone().filter(is_quiet).collect();
        Rounds {
            quiet: quiet.len(),
            all: all.len(),
            counted: match quiet.len() as f64 >= ENOUGH_QUIET * all.len() as f64 {
                true => quiet,
                false => all.collect(),
            },
        }
    }

    /// Whether disturbed rounds count as well, for want of others.
    pub(crate) fn are_disturbed(&self) -> bool {
        self.counted.len() > self.quiet
    }

    fn say(&self, scenario: Scenario) {
        let (Rounds { quiet, all, .. }, Some(can_be)) = (self, scenario.limit_ns()) else {
            return;
        };
        let can_be = format!("a limit of {} to {} ns", can_be.start(), can_be.end());
        if self.are_disturbed() {
            println!(
                "  DISTURBED: only {quiet} of {all} rounds had {can_be}; ratios are over all of them, and as good as callgate-again says"
            );
        } else if quiet < all {
            println!("  ratios over the {quiet} of {all} rounds with {can_be}");
        }
    }
}

/// One system's mean over another's, round by round.
pub(crate) fn ratios(over: &Series, under: &Series, rounds: &[usize]) -> Vec<f64> {
    let ratio = |&round: &usize| over.blocks[round].mean_ns / under.blocks[round].mean_ns;
    rounds.iter().map(ratio).collect()
}

/// One system's mean less another's, round by round.
pub(crate) fn differences(of: &Series, less: &Series) -> Vec<f64> {
    let pairs = of.blocks.iter().zip(&less.blocks);
    pairs.map(|(of, less)| of.mean_ns - less.mean_ns).collect()
}

/// The rows of a scenario.
pub(crate) fn rows(outcome: &Outcome, random: &mut StdRng) -> Result<Vec<Row>> {
    let reference = outcome.scenario.reference();
    let limit = outcome.of(reference).ok_or("nothing without the limit")?;
    let rounds = Rounds::of(outcome);
    let mut rows = Vec::new();
    for series in in_order(outcome) {
        let of = |value: fn(&crate::block::Block) -> f64| {
            median(&series.blocks.iter().map(value).collect::<Vec<_>>())
        };
        let mut calls = Histogram::<u64>::new(3)?;
        for sample in series.blocks.iter().flat_map(|block| &block.samples) {
            calls.record(*sample)?;
        }
        let ratio = Estimate::of(&ratios(series, limit, &rounds.counted), random);
        let mean_ns = of(|block| block.mean_ns);
        rows.push(Row {
            scenario: outcome.scenario.name(),
            system: series.system,
            placement: outcome.scenario.placement(),
            mean_ns: round(mean_ns, 10.0),
            p50_ns: calls.value_at_quantile(0.5),
            p99_ns: calls.value_at_quantile(0.99),
            p999_ns: calls.value_at_quantile(0.999),
            per_second: (1e9 / mean_ns).round(),
            cpu_ns_per_op: round(of(|block| block.cpu_ns_per_op), 10.0),
            sleeps_per_op: round(of(|block| block.sleeps_per_op), 10_000.0),
            faults_per_op: round(of(|block| block.faults_per_op), 100.0),
            blocks: series.blocks.len(),
            reference,
            ratio_to_limit: round(ratio.median, 1000.0),
            ratio_ci: [round(ratio.low, 1000.0), round(ratio.high, 1000.0)],
            ratio_blocks: rounds.counted.len(),
            ratio_disturbed: rounds.are_disturbed(),
            beyond_ns: median(&differences(series, limit)),
        });
    }
    Ok(rows)
}

/// The series in the order in which the systems stand in their list, not in which they ran.
fn in_order(outcome: &Outcome) -> Vec<&Series> {
    let mut names = run::names();
    // One caller alone stands in the place of the limit.
    names.insert(0, ONE_CALLER);
    let found = names.into_iter().map(|name| outcome.of(name));
    found.flatten().collect()
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Prints the rows of a scenario.
pub(crate) fn print(outcome: &Outcome, rows: &[Row]) {
    let scenario = outcome.scenario;
    println!("\n{} ({})", scenario.name(), scenario.placement());
    println!(
        "  {:19} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9} {:>6} {:>6} {:>10}  over {} (95 %)",
        "system",
        "mean",
        "p50",
        "p99",
        "p99.9",
        "calls/s",
        "CPU/call",
        "sleeps",
        "faults",
        "beyond",
        scenario.reference()
    );
    for row in rows {
        println!(
            "  {:19} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9} {:>6.2} {:>6.1} {:>10}  {:.2} ({:.2} to {:.2})",
            row.system,
            time(row.mean_ns),
            time(row.p50_ns as f64),
            time(row.p99_ns as f64),
            time(row.p999_ns as f64),
            row.per_second,
            time(row.cpu_ns_per_op),
            row.sleeps_per_op,
            row.faults_per_op,
            time(row.beyond_ns),
            row.ratio_to_limit,
            row.ratio_ci[0],
            row.ratio_ci[1],
        );
    }
    Rounds::of(outcome).say(scenario);
}

/// A time in a readable unit.
pub(crate) fn time(nanos: f64) -> String {
    match nanos.abs() {
        below if below < 1e4 => format!("{nanos:.0} ns"),
        below if below < 1e7 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}

/// Writes the report and says where.
pub(crate) fn write(rows: Vec<Row>) -> Result<PathBuf> {
    let directory = target()?.join("callgate");
    fs::create_dir_all(&directory)?;
    let path = directory.join("peers.json");
    let report = Report { host: host(), rows };
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(path)
}

/// The build directory: this program lies in `<target>/<profile>/deps`.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3);
    Ok(target
        .ok_or("this program lies outside of a build directory")?
        .to_owned())
}

fn host() -> Host {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Host {
        cpu: model
            .unwrap_or("unknown")
            .trim_start_matches([' ', '\t', ':'])
            .to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: kernel.trim().to_owned(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    }
}
