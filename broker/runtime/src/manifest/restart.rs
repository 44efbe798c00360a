//! How a plugin is supervised, as far as its manifest says so.

use std::ops::RangeInclusive;
use std::time::Duration;

use callgate::supervision::{Restart, When};

use super::error::Wrong;
use super::fields::{Node, Table};

/// The longest time that a manifest may set: a day.
const MOST_MS: u64 = 86_400_000;
/// The longest time to wait between SIGTERM and SIGKILL: a runtime that stops waits for it.
const MOST_GRACE_MS: u64 = 60_000;
const MOST_COUNT: u64 = 1_000_000;
/// The most entries in the list of waiting times between restarts.
const MOST_STEPS: usize = 64;
/// A list of waiting times that ends with less than this is allowed only with a quarantine, because nothing else would end restarts that
/// follow each other without a pause.
const STEADY_STEP: Duration = Duration::from_secs(1);
/// The most crashes and the shortest time with which a quarantine counts for that.
const CRASHES: u32 = 100;
const WITHIN: Duration = Duration::from_secs(60);

const KEYS: [&str; 10] = [
    "when",
    "ready_within_ms",
    "ask_every_ms",
    "hung_after",
    "call_deadline_ms",
    "stop_grace_ms",
    "backoff_ms",
    "steady_after_ms",
    "quarantine_crashes",
    "quarantine_within_ms",
];

/// The value of `restart` in a manifest: a text (`"on-failure"`), or a table with any of these keys. The runtime's own settings apply for
/// keys that are missing ([`RestartTable::over`]).
///
/// ```
/// use std::time::Duration;
/// use callgate::supervision::Restart;
/// use callgate_runtime::RestartTable;
///
/// let mut table = RestartTable::default();
/// table.stop_grace = Some(Duration::from_secs(1));
/// let restart = table.over(&Restart::default());
/// assert_eq!(restart.stop_grace, Duration::from_secs(1));
/// assert_eq!(restart.ready_within, Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartTable {
    /// `when`, or the text itself: `always` or `on-failure`.
    pub when: Option<When>,
    /// `ready_within_ms`: how long the plugin may take from its start until it reports that it is ready.
    pub ready_within: Option<Duration>,
    /// `ask_every_ms`: how often the runtime asks the plugin whether it still serves.
    pub ask_every: Option<Duration>,
    /// `hung_after`: the runtime kills the plugin after this many questions in a row without an answer.
    pub hung_after: Option<u32>,
    /// `call_deadline_ms`: how long a call to or of the plugin may take.
    pub call_deadline: Option<Duration>,
    /// `stop_grace_ms`: time from SIGTERM to SIGKILL, a minute at most.
    pub stop_grace: Option<Duration>,
    /// `backoff_ms`: how long the runtime waits before the next start, crash by crash.
    pub backoff: Option<Vec<Duration>>,
    /// `steady_after_ms`: after a run of this length the next crash counts as the first one for `backoff_ms`.
    pub steady_after: Option<Duration>,
    /// `quarantine_crashes`: after this many crashes within `quarantine_within_ms` the runtime starts the plugin only on request; 0 for
    /// never.
    pub quarantine_crashes: Option<u32>,
    /// `quarantine_within_ms`: the time in which `quarantine_crashes` are counted.
    pub quarantine_within: Option<Duration>,
}

impl RestartTable {
    /// The settings for supervising the plugin: those of the manifest, and `usual` for what it leaves out.
    pub fn over(&self, usual: &Restart) -> Restart {
        let usual = usual.clone();
        let (crashes, within) = (usual.quarantine_crashes, usual.quarantine_within);
        Restart::default()
            .when(self.when.unwrap_or(usual.when))
            .ready_within(self.ready_within.unwrap_or(usual.ready_within))
            .ask_every(self.ask_every.unwrap_or(usual.ask_every))
            .hung_after(self.hung_after.unwrap_or(usual.hung_after))
            .call_deadline(self.call_deadline.unwrap_or(usual.call_deadline))
            .stop_grace(self.stop_grace.unwrap_or(usual.stop_grace))
            .backoff(self.backoff.clone().unwrap_or(usual.backoff))
            .steady_after(self.steady_after.unwrap_or(usual.steady_after))
            .quarantine(
                self.quarantine_crashes.unwrap_or(crashes),
                self.quarantine_within.unwrap_or(within),
            )
    }
}

pub(super) fn restart(node: &Node<'_>) -> Result<RestartTable, Wrong> {
    if node.value().is_string() {
        return Ok(RestartTable {
            when: Some(when(node)?),
            ..RestartTable::default()
        });
    }
    if !node.value().is_object() {
        return Err(node.wrong("`always`, `on-failure`, or a table"));
    }
    let table = node.table(&KEYS)?;
    let restart = RestartTable {
        when: table.maybe("when", when)?,
        ready_within: time(&table, "ready_within_ms")?,
        ask_every: time(&table, "ask_every_ms")?,
        hung_after: table.maybe("hung_after", |node| count(node, 1))?,
        call_deadline: time(&table, "call_deadline_ms")?,
        stop_grace: table.maybe("stop_grace_ms", |node| {
            milliseconds(node, 0..=MOST_GRACE_MS)
        })?,
        backoff: table.maybe("backoff_ms", backoff)?,
        steady_after: time(&table, "steady_after_ms")?,
        quarantine_crashes: table.maybe("quarantine_crashes", |node| count(node, 0))?,
        quarantine_within: time(&table, "quarantine_within_ms")?,
    };
    check_steps(&table, &restart)?;
    Ok(restart)
}

/// Refuses waiting times with which a crashing plugin would be restarted again and again without a pause. Only what the manifest itself
/// sets is checked: the rest is the host's decision.
fn check_steps(table: &Table<'_>, restart: &RestartTable) -> Result<(), Wrong> {
    let Some(node) = table.get("backoff_ms") else {
        return Ok(());
    };
    let last = restart.backoff.iter().flatten().last();
    let crashes = restart.quarantine_crashes.unwrap_or(CRASHES);
    let within = restart.quarantine_within.unwrap_or(WITHIN);
    let is_stopped = (1..=CRASHES).contains(&crashes) && within >= WITHIN;
    match is_stopped || last.is_none_or(|last| *last >= STEADY_STEP) {
        true => Ok(()),
        false => Err(node.wrong(format!(
            "a list whose last time is {} or more; or a quarantine of `quarantine_crashes` 1 to {CRASHES} within \
             `quarantine_within_ms` {} or more, which ends restarts that follow each other at once",
            STEADY_STEP.as_millis(),
            WITHIN.as_millis()
        ))),
    }
}

fn when(node: &Node<'_>) -> Result<When, Wrong> {
    match node.value().as_str() {
        Some("always") => Ok(When::Always),
        Some("on-failure") => Ok(When::OnFailure),
        _ => Err(node.wrong("`always` or `on-failure`")),
    }
}

fn time(table: &Table<'_>, name: &str) -> Result<Option<Duration>, Wrong> {
    table.maybe(name, |node| milliseconds(node, 1..=MOST_MS))
}

fn milliseconds(node: &Node<'_>, allowed: RangeInclusive<u64>) -> Result<Duration, Wrong> {
    node.number(allowed).map(Duration::from_millis)
}

fn count(node: &Node<'_>, least: u64) -> Result<u32, Wrong> {
    let number = node.number(least..=MOST_COUNT)?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn backoff(node: &Node<'_>) -> Result<Vec<Duration>, Wrong> {
    let times = node.list()?;
    match times.len() {
        1..=MOST_STEPS => times
            .iter()
            .map(|time| milliseconds(time, 0..=MOST_MS))
            .collect(),
        _ => Err(node.wrong(format!("a list of 1 to {MOST_STEPS} times"))),
    }
}
