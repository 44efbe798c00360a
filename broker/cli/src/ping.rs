//! `callgate ping`

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use callgate_client::{Code, Error, Subscriber};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::output::Failed;
use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The gate, which takes and gives bytes, such as one of `callgate echo`
    gate: String,
    /// How many calls
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Bytes of payload in each call
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    size: usize,
    /// Pause between calls, such as 1ms; none unless given
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    interval: Option<Duration>,
}

type Echo = Subscriber<(Vec<u8>,), Vec<u8>>;

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let plugin = common.connect("ping")?;
    let echo: Echo = plugin.subscriber(&options.gate)?;
    common.await_gate(|time| echo.wait_ready(time))?;
    let echo = echo.with_timeout(common.timeout());
    let report = measure(&echo, options)?;
    let mut out = io::stdout().lock();
    if common.json {
        writeln!(out, "{}", shown_json(&report.json(options)))?;
    } else {
        report.print(&mut out, options)?;
    }
    out.flush()?;
    match report.last_error {
        None => Ok(()),
        // With --json the error is already in the printed document.
        Some(_) if common.json => Err(Failed::Silently),
        Some(error) => Err(error.into()),
    }
}

struct Report {
    latencies: Histogram<u64>,
    took: Duration,
    errors: BTreeMap<&'static str, u64>,
    last_error: Option<Error>,
}

/// Calls until the count is reached or the provider is gone; other errors are counted.
fn measure(echo: &Echo, options: &Options) -> Result<Report, Failed> {
    let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .map_err(|error| Failed::Other(format!("the histogram: {error}")))?;
    let mut report = Report {
        latencies,
        took: Duration::ZERO,
        errors: BTreeMap::new(),
        last_error: None,
    };
    let payload = (vec![0x5a; options.size],);
    let start = Instant::now();
    for _ in 0..options.count {
        let begin = Instant::now();
        let answer = echo
            .invoke_ref(&payload)
            .and_then(|answer| check(&answer, &payload.0));
        let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match answer {
            Ok(()) => report.latencies.saturating_record(nanos),
            Err(error) => {
                let error = gone_meanwhile(error);
                *report.errors.entry(error.code().as_str()).or_default() += 1;
                let is_final = is_final(error.code());
                report.last_error = Some(error);
                if is_final {
                    break;
                }
            }
        }
        if let Some(interval) = options.interval {
            std::thread::sleep(interval);
        }
    }
    report.took = start.elapsed();
    Ok(report)
}

fn check(answer: &[u8], sent: &[u8]) -> Result<(), Error> {
    if answer == sent {
        return Ok(());
    }
    Err(Error::new(
        Code::Protocol,
        "the answer differs from what was sent: this gate is no echo",
    ))
}

/// Turns an error for an absent gate into one for a lost provider: the gate was provided when the command began.
fn gone_meanwhile(error: Error) -> Error {
    match error.code() {
        Code::NotReady => {
            let text = "the provider has ended or withdrawn the gate between two calls";
            Error::new(Code::ProviderGone, text).at_gate(error.gate().unwrap_or_default())
        }
        _ => error,
    }
}

/// Whether calling again would only fail in the same way.
fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::Timeout | Code::Overloaded | Code::HandlerError | Code::HandlerPanicked
    )
}

impl Report {
    fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn json(&self, options: &Options) -> Value {
        let at = |quantile| self.latencies.value_at_quantile(quantile);
        json!({
            "gate": options.gate, "count": self.latencies.len(), "size": options.size,
            "min_ns": self.latencies.min(), "p50_ns": at(0.5), "p99_ns": at(0.99),
            "p999_ns": at(0.999), "max_ns": self.latencies.max(),
            "per_second": self.per_second(), "errors": self.errors,
        })
    }

    fn print(&self, out: &mut impl Write, options: &Options) -> io::Result<()> {
        let at = |quantile| nanos(self.latencies.value_at_quantile(quantile));
        writeln!(
            out,
            "{}: {} calls of {} bytes",
            shown(&options.gate),
            self.latencies.len(),
            options.size
        )?;
        if !self.latencies.is_empty() {
            let (min, max) = (nanos(self.latencies.min()), nanos(self.latencies.max()));
            writeln!(
                out,
                "min {min}  p50 {}  p99 {}  p99.9 {}  max {max}  {:.0} calls/s",
                at(0.5),
                at(0.99),
                at(0.999),
                self.per_second()
            )?;
        }
        for (code, count) in &self.errors {
            writeln!(out, "{code}: {count}")?;
        }
        Ok(())
    }
}

/// A time, with the digits that matter.
fn nanos(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}
