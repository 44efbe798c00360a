//! What Callgate is to show, computed from the same rounds: each line says what is compared and
//! what was asked for. Nothing fails here; the figures speak.

use rand::rngs::StdRng;

use crate::outcome::Outcome;
use crate::report::{self, Rounds, Row};
use crate::scenario::{Events, ONE_CALLER, Scenario, Shares};
use crate::stats::Estimate;

/// Prints what the outcomes say to each claim that they have the systems for.
pub(crate) fn print(outcomes: &[Outcome], rows: &[Row], random: &mut StdRng) {
    println!("\nclaims (median over rounds, 95 % interval)");
    for outcome in outcomes {
        let rounds = Rounds::of(outcome);
        let disturbed = match rounds.are_disturbed() {
            true => "  DISTURBED",
            false => "",
        };
        let name = outcome.scenario.name();
        let say = |what: &str, estimate| say(name, what, estimate, disturbed);
        let mut ratio = |over: &str, under: &str, wanted: &str| {
            if let (Some(over), Some(under)) = (outcome.of(over), outcome.of(under)) {
                let ratios = report::ratios(over, under, &rounds.counted);
                let estimate = Estimate::of(&ratios, random);
                say(
                    &format!("{} ÷ {} ({wanted})", over.system, under.system),
                    estimate,
                );
            }
        };
        ratio("callgate-again", "callgate", "two equal systems: 1");
        match outcome.scenario {
            Scenario::SmallHot => {
                ratio("iceoryx2", "callgate", "at least 5");
                ratio("uds", "callgate", "at least 100");
            }
            Scenario::LargeHot => {
                ratio("callgate", "callgate-64B", "1 MiB: at most 1.2");
                ratio("callgate", "callgate-loan64", "the length alone");
            }
            Scenario::OneCore => {
                ratio("callgate", "limit", "at most 1.1");
                ratio("iceoryx2-event", "callgate", "at least 2");
            }
            Scenario::Cold => ratio("callgate", "limit", "at most 0.75"),
            Scenario::Unpinned => ratio("callgate-park", "pipe", "both sleep at once"),
            Scenario::Typed(values) => ratio("uds", "callgate", values.wanted),
            Scenario::Json(_) => ratio("callgate-json", "uds-json", "at most 1"),
            // Computed from times per call: the throughput of four callers together, divided by that of one alone.
            Scenario::FourCallers => {
                ratio(ONE_CALLER, "callgate", "at least 0.8");
            }
            Scenario::InProcess => ratio("callgate", "limit", "at most 30"),
            Scenario::Events(events) => of_events(events, &mut ratio),
            Scenario::Shares(shares) => of_shares(shares, &mut ratio),
            Scenario::Stdio(1) => {
                ratio("callgate", "limit", "at most 2.5");
                ratio("callgate-host", "limit", "the host's own way in");
                ratio("callgate-other", "limit", "at most 3.5");
            }
            // Computed from times per call: one throughput divided by the other.
            Scenario::Stdio(_) => {
                ratio("limit", "callgate", "at least 0.7");
                ratio("limit", "callgate-other", "at least 0.7");
            }
            _ => {}
        }
        match outcome.scenario {
            Scenario::SmallHot => beyond(outcome, random, &OF_CALLS),
            Scenario::Json(64) => beyond(outcome, random, &OF_JSON),
            _ => {}
        }
    }
    across(rows);
}

/// Claims about shares.
fn of_shares(shares: Shares, ratio: &mut impl FnMut(&str, &str, &str)) {
    match shares {
        Shares::Get => {
            ratio("callgate-latest", "limit", "at most 3");
            ratio("callgate-clone", "limit", "at most 3");
            ratio("callgate", "limit", "at most 10");
        }
        Shares::FirstGet => {
            ratio("callgate", "limit", "beside a bare map");
            ratio("uds", "callgate", "more than 1");
        }
        Shares::Publish(_) => {
            ratio("callgate", "limit", "beside a bare memory file");
            ratio("uds", "callgate", "64 MiB: more than 1");
            ratio("iceoryx2", "callgate", "its blackboard");
        }
    }
}

/// Claims about events.
fn of_events(events: Events, ratio: &mut impl FnMut(&str, &str, &str)) {
    match events {
        Events::Stream => {
            ratio("callgate", "limit", "at most 1.5");
            ratio("iceoryx2", "callgate", "more than 1");
            ratio("uds", "callgate", "more than 1");
        }
        Events::Batch => ratio("uds", "callgate", "more than 1"),
        Events::Awake(_) => ratio("iceoryx2", "callgate", "more than 1"),
        Events::Asleep(_) | Events::Wake => {
            ratio("callgate", "limit", "beside a bare wake");
            ratio("iceoryx2-event", "callgate", "more than 1");
        }
        Events::Slow => ratio("callgate", "callgate-unheard", "at most 1.2"),
    }
}

fn say(scenario: &str, what: &str, estimate: Estimate, note: &str) {
    let Estimate { median, low, high } = estimate;
    println!("  {scenario:24} {what:46} {median:.2} ({low:.2} to {high:.2}){note}");
}

/// Which system less which, and what is wanted of that in nanoseconds.
type Beyond = (&'static str, &'static str, &'static str);

/// The cost of a call beyond the limit, and the part of it that the exchange takes.
const OF_CALLS: [Beyond; 3] = [
    ("callgate", "limit", "at most 100"),
    ("exchange", "limit", "one writer a byte"),
    ("callgate", "exchange", "the rest"),
];

/// The cost of JSON beyond that of archives.
const OF_JSON: [Beyond; 1] = [("callgate-json", "callgate-exact", "at most 2000")];

fn beyond(outcome: &Outcome, random: &mut StdRng, wanted: &[Beyond]) {
    for (over, under, wanted) in wanted {
        if let (Some(over), Some(under)) = (outcome.of(over), outcome.of(under)) {
            let differences = report::differences(over, under);
            let what = format!("{} − {}, ns ({wanted})", over.system, under.system);
            let estimate = Estimate::of(&differences, random);
            say(outcome.scenario.name(), &what, estimate, "");
        }
    }
}

/// Figures that come from rows and not from rounds, so without an interval.
fn across(rows: &[Row]) {
    let find = |scenario: Scenario, system: &str| {
        let is = |row: &&Row| row.scenario == scenario.name() && row.system == system;
        rows.iter().find(is)
    };
    let compare = |what: &str, over: Option<f64>, under: Option<f64>| {
        if let (Some(over), Some(under)) = (over, under) {
            println!("  {what:71} {:.2}", over / under);
        }
    };
    let cpu = |system| find(Scenario::Cold, system).map(|row| row.cpu_ns_per_op);
    let mean = |events, system| find(Scenario::Events(events), system).map(|row| row.mean_ns);
    compare(
        "notify: events a second of callgate in batches ÷ one by one (at least 2)",
        mean(Events::Stream, "callgate"),
        mean(Events::Batch, "callgate"),
    );
    for count in [10, 100] {
        let further = |system| {
            let (many, one) = (
                mean(Events::Awake(count), system),
                mean(Events::Awake(1), system),
            );
            many.zip(one).map(|(many, one)| many - one)
        };
        compare(
            &format!(
                "notify/{count}: ns of the sender's CPU for each further listener (at most 3)"
            ),
            further("callgate"),
            Some(count as f64 - 1.0),
        );
    }
    compare(
        "cold, two cores: CPU of callgate ÷ limit (at most 2)",
        cpu("callgate"),
        cpu("limit"),
    );
    let p99 = |system| find(Scenario::Unpinned, system).map(Row::p99);
    compare(
        "cold, unpinned: p99 of callgate ÷ limit (at most 2)",
        p99("callgate"),
        p99("limit"),
    );
}
