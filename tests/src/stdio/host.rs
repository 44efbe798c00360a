//! A host: a broker with a socket and a runtime, in a process that can be looked at and killed.

use std::path::Path;
use std::time::Duration;

use callgate::Broker;
use callgate_runtime::{Limits, LogStream, PluginStatus, Runtime};
use serde_json::{Value, json};

/// Is a host of the plugins in a folder; the broker's socket is in `CALLGATE_SOCKET`. A plugin that has not read for
/// so many milliseconds counts as hung. Answers each line: `status`, `log NAME`, `stop NAME`, `start NAME`.
pub(super) fn run(folder: &str, more: &[String]) {
    let stuck_for = more[0].parse().expect("milliseconds");
    let socket = std::env::var_os("CALLGATE_SOCKET").expect("a socket");
    let broker = Broker::builder().socket(Path::new(&socket)).start();
    let broker = broker.expect("a broker");
    let mut limits = Limits::default();
    limits.stuck_for = Duration::from_millis(stuck_for);
    let runtime = Runtime::builder(broker.handle()).plugins(folder);
    let runtime = runtime.limits(limits).start().expect("a runtime");
    super::answer(|words| match words {
        ["status"] => Value::from_iter(runtime.plugins().iter().map(shown)).to_string(),
        ["log", name] => log(&runtime, name).to_string(),
        ["stop", name] => done(runtime.stop_plugin(name)),
        ["start", name] => done(runtime.start_plugin(name)),
        other => panic!("unknown line {other:?}"),
    });
}

fn done(outcome: Result<(), callgate_runtime::RuntimeError>) -> String {
    outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

fn shown(plugin: &PluginStatus) -> Value {
    let (status, counts) = (&plugin.supervision, &plugin.counts);
    json!({
        "name": plugin.name,
        "state": status.state.to_string(),
        "pid": status.pid,
        "restarts": status.restarts,
        "last_exit": status.last_exit.map(|exit| exit.to_string()),
        "fault": status.last_fault.as_ref().map(|fault| fault.code),
        "why": status.last_fault.as_ref().map(|fault| &fault.why),
        "frames": counts.frames,
        "requests": counts.requests,
        "stray": counts.stray_responses,
        "published": counts.published,
        "unheard": counts.failed_unheard,
        "pauses": counts.pauses,
    })
}

/// The last log lines of a plugin, including what the runtime says about it: the length of each, whether it was cut,
/// and its beginning.
fn log(runtime: &Runtime, name: &str) -> Value {
    let log = runtime.logs(name).expect("a log");
    let lines = log.last(500);
    Value::from_iter(lines.iter().map(|line| {
        let begin: String = line.text.chars().take(200).collect();
        json!({"length": line.text.len(), "is_cut": line.is_cut, "begin": begin, "is_own": !matches!(line.stream, LogStream::Stdout | LogStream::Stderr)})
    }))
}
