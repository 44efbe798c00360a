//! `callgate ls`

use std::io::{self, Write};

use callgate_client::{dynamic, json_schema};
use clap::ValueEnum;
use serde_json::Value;

use crate::output::table;
use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json, shown_json_text};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Plugins,
    Gates,
    Topics,
    Shares,
    Links,
}

/// What is listed: its key in the document, and the columns that people see.
const LISTS: [(What, &str, &[&str]); 5] = [
    (
        What::Plugins,
        "plugins",
        &[
            "name",
            "version",
            "pid",
            "transport",
            "state",
            "restarts",
            "last_exit",
            "next_try_ms",
            "calls",
            "errors",
            "json_calls",
            "last_fault",
        ],
    ),
    (
        What::Gates,
        "gates",
        &[
            "name",
            "owner",
            "signature",
            "action_signature",
            "encodings",
            "subscribers",
            "json_fallbacks",
            "calls",
            "errors",
            "json_calls",
            "p50_ns",
            "p99_ns",
        ],
    ),
    (
        What::Topics,
        "topics",
        &[
            "gate",
            "sender",
            "open",
            "signature",
            "head",
            "capacity_bytes",
            "history",
            "json_twin",
            "lost",
            "subscribers",
        ],
    ),
    (
        What::Shares,
        "shares",
        &[
            "tag",
            "form",
            "signature",
            "bytes",
            "version",
            "persistent",
            "owner",
            "users",
            "others",
        ],
    ),
    (
        What::Links,
        "links",
        &["a", "b", "same_trust_domain", "granted_bytes"],
    ),
];

/// The broker, which is shown if all lists are.
const BROKER: (&str, &[&str]) = (
    "broker",
    &["pid", "generation", "version", "uptime_ms", "socket"],
);

/// Programs that have ended, which are shown if there are any.
const ENDED: (&str, &[&str]) = ("ended", &["name", "pid", "why"]);

pub(crate) fn run(common: &Common, what: Option<What>) -> Outcome {
    let mut document = common.builder("ls").inspector().connect()?.list()?;
    leave_out_myself(&mut document);
    let mut out = io::stdout().lock();
    if common.json {
        let document = match what.and_then(key) {
            Some(key) => document.get(key).cloned().unwrap_or_default(),
            None => document,
        };
        writeln!(out, "{}", shown_json(&document))?;
    } else {
        if what.is_none() {
            table(&mut out, BROKER.0, &rows(&document, BROKER.0, BROKER.1))?;
        }
        for (_, key, columns) in LISTS
            .iter()
            .filter(|list| what.is_none_or(|what| what == list.0))
        {
            table(&mut out, key, &rows(&document, key, columns))?;
            let any_ended = document[ENDED.0]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            if *key == "plugins" && any_ended {
                table(&mut out, ENDED.0, &rows(&document, ENDED.0, ENDED.1))?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints what a gate takes and gives.
pub(crate) fn schema(common: &Common, gate: &str) -> Outcome {
    let plugin = common.builder("ls").connect()?;
    let described = dynamic::describe(&plugin, gate)?;
    // A gate has at least one of the two halves.
    let signature = described.function.or(described.action);
    let schema = signature.map_or(Value::Null, |signature| json_schema(&signature));
    let mut out = io::stdout().lock();
    match common.json {
        true => writeln!(out, "{}", shown_json(&schema))?,
        false => {
            let text = serde_json::to_string_pretty(&schema).map_err(io::Error::from)?;
            for line in text.lines() {
                writeln!(out, "{}", shown_json_text(line))?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn key(what: What) -> Option<&'static str> {
    LISTS.iter().find(|list| list.0 == what).map(|list| list.1)
}

/// Removes this command's own plugin from the listing.
fn leave_out_myself(document: &mut Value) {
    let me = format!("callgate-ls-{}", std::process::id());
    if let Some(plugins) = document.get_mut("plugins").and_then(Value::as_array_mut) {
        plugins.retain(|plugin| plugin["name"] != me.as_str());
    }
}

fn rows(document: &Value, key: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let head = columns
        .iter()
        .map(|column| column.replace('_', " "))
        .collect();
    let items = match &document[key] {
        Value::Array(items) => items,
        one @ Value::Object(_) => std::slice::from_ref(one),
        _ => &[],
    };
    let row = |item: &Value| {
        let cells = columns.iter().map(|column| match *column {
            "state" if item["draining"] == true => format!("{}, draining", cell(&item["state"])),
            // A folder whose manifest is broken: its transport is not known.
            "transport" if item["state"] == "broken" => cell(&Value::Null),
            "last_exit" if item["killed"] == true => {
                format!("{} (killed)", cell(&item["last_exit"]))
            }
            "last_fault" => fault(&item["last_fault"]),
            "name" if item["prefix"] == true => format!("{}*", cell(&item["name"])),
            "users" => names(&item["users"]),
            "others" => others(&item["others"]),
            column => cell(&item[column]),
        });
        cells.collect()
    };
    std::iter::once(head).chain(items.iter().map(row)).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        // A text that a plugin chose: a terminal must show it and not obey it.
        Value::String(text) => shown(text).into_owned(),
        Value::Array(all) if all.first().is_some_and(Value::is_object) => {
            all.iter().map(subscriber).collect::<Vec<_>>().join(", ")
        }
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join("+"),
        other => shown_json(other),
    }
}

/// The error of a plugin's last process.
fn fault(of: &Value) -> String {
    match of.is_object() {
        true => format!("{}: {}", cell(&of["code"]), cell(&of["message"])),
        false => cell(&Value::Null),
    }
}

/// Names of plugins.
fn names(of: &Value) -> String {
    let all = of.as_array().into_iter().flatten().map(cell);
    let all: Vec<String> = all.collect();
    match all.is_empty() {
        true => cell(&Value::Null),
        false => all.join(", "),
    }
}

/// The versions of a share other than the newest one, and who has them.
fn others(of: &Value) -> String {
    let other = |of: &Value| {
        let form = if of["json"] == true { " as JSON" } else { "" };
        let (number, users) = (cell(&of["version"]), names(&of["users"]));
        format!("{number}{form} ({users})")
    };
    let all = of.as_array().into_iter().flatten().map(other);
    let all: Vec<String> = all.collect();
    match all.is_empty() {
        true => cell(&Value::Null),
        false => all.join(", "),
    }
}

/// A listener of a topic, and how many events it still has to handle.
fn subscriber(of: &Value) -> String {
    let of = |key| cell(&of[key]);
    format!(
        "{} (lag {}, evictions {}, lost {})",
        of("plugin"),
        of("lag"),
        of("evictions"),
        of("lost")
    )
}
