//! `callgate start`, `stop` and `restart`, for a plugin that a runtime on the bus supervises.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use callgate_client::{Code, Error, Plugin};
use clap::Args;
use serde_json::Value;

use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The plugin
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// End when the runtime has begun, and do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
}

/// The command: what the runtime must do with the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    Stop,
    Restart,
}

/// Time between two looks at the plugin's state.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Order {
    fn gate(self) -> &'static str {
        match self {
            Order::Start => "callgate.runtime.start",
            Order::Stop => "callgate.runtime.stop",
            Order::Restart => "callgate.runtime.restart",
        }
    }

    /// Whether the plugin has reached the wanted state; `before` is the process that it had when the command began.
    fn is_met(self, now: &Value, before: &Value) -> bool {
        match self {
            Order::Start => now["state"] == "ready",
            // A linked plugin is listed as it was until its connection has ended.
            Order::Restart => now["state"] == "ready" && now["pid"] != *before,
            Order::Stop => now["state"] == "stopped" && now["pid"].is_null(),
        }
    }

    /// Whether the order has failed.
    fn has_failed(self, now: &Value) -> bool {
        self != Order::Stop && (now["state"] == "backoff" || now["state"] == "quarantined")
    }
}

pub(crate) fn run(common: &Common, options: &Options, order: Order) -> Outcome {
    let until = Instant::now().checked_add(common.timeout());
    let name = &*options.plugin;
    let plugin = common.connect("control")?;
    let before = listed(&plugin, name)?["pid"].take();
    ask(common, &plugin, (order, name))?;
    if options.no_wait {
        return Ok(());
    }
    loop {
        let now = listed(&plugin, name)?;
        if order.is_met(&now, &before) {
            return say(common, &now);
        }
        if order.has_failed(&now) {
            return Err(failure(&now).into());
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(late(common, &now).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Calls the runtime.
fn ask(common: &Common, plugin: &Plugin, (order, name): (Order, &str)) -> Result<(), Error> {
    let gate = plugin.subscriber::<(String,), ()>(order.gate())?;
    let called = gate
        .with_timeout(common.timeout())
        .invoke((name.to_owned(),));
    called.map_err(without_runtime)
}

/// If nobody provides the runtime's gates, adds what to do.
pub(crate) fn without_runtime(error: Error) -> Error {
    match error.code() {
        Code::NotReady => {
            let text = "no runtime is on this bus: `callgate run DIR` is a broker with one";
            Error::new(Code::NotReady, text)
        }
        _ => error,
    }
}

/// The plugin's entry in the listing; null if it has none.
fn listed(plugin: &Plugin, name: &str) -> Result<Value, Error> {
    let mut all = plugin.list()?;
    let all = all["plugins"].as_array_mut().into_iter().flatten();
    let mut named = all.filter(|entry| entry["name"] == name);
    Ok(named.next().map(Value::take).unwrap_or_default())
}

fn say(common: &Common, now: &Value) -> Outcome {
    let mut out = io::stdout().lock();
    if common.json {
        writeln!(out, "{}", shown_json(now))?;
    } else {
        writeln!(out, "{}", shown(&sentence(now)))?;
    }
    out.flush()?;
    Ok(())
}

fn sentence(now: &Value) -> String {
    let text = |key: &str| now[key].as_str().unwrap_or("-").to_owned();
    let pid = now["pid"].as_u64().map(|pid| format!(", process {pid}"));
    format!(
        "{}: {}{}",
        text("name"),
        text("state"),
        pid.unwrap_or_default()
    )
}

/// The error for a plugin that has ended again.
fn failure(now: &Value) -> Error {
    let name = now["name"].as_str().unwrap_or_default();
    let fault = &now["last_fault"];
    let ended = match (fault["code"].as_str(), fault["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => format!(
            "it has ended ({})",
            now["last_exit"].as_str().unwrap_or("unknown")
        ),
    };
    let text = format!(
        "{}, {ended}; `callgate logs {name}` may say why",
        sentence(now)
    );
    Error::new(Code::ProviderGone, text).with_context(now.clone())
}

fn late(common: &Common, now: &Value) -> Error {
    let waited = humantime::format_duration(common.timeout());
    let text = format!(
        "{} after {waited}; it goes on without this command",
        sentence(now)
    );
    Error::new(Code::Timeout, text).with_context(now.clone())
}
