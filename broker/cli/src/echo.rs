//! `callgate echo`

use std::io::{self, Write};

use callgate_client::dynamic::{self, Prefix, Schema, Signature, Takes};
use callgate_client::{HandlerError, Plugin, Provider, Result, View};
use clap::Args;
use serde::de::IgnoredAny;

use crate::{Common, Outcome};
use callgate::shown::shown;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The gate, by convention Owner.Name; or a prefix, which ends in a dot: all gates under it
    gate: String,
    /// Take one parameter of bytes, as an archive: for measuring with ping
    #[arg(long)]
    bytes: bool,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let plugin = common.connect("echo")?;
    let _provider = provide(&plugin, options)?;
    let mut out = io::stdout();
    writeln!(out, "echoing at {}", shown(&options.gate))?;
    out.flush()?;
    // Until the broker ends, which is this command's failure, or a signal ends the process, after
    // which the broker cleans up.
    Err(plugin.wait_closed().into())
}

fn provide(plugin: &Plugin, options: &Options) -> Result<Provider> {
    let gate = &*options.gate;
    let same = || Takes::json(|_, parameters| same(parameters));
    if options.bytes {
        return plugin.provide(gate, |bytes: View<'_, Vec<u8>>| bytes.to_vec());
    }
    if gate.ends_with('.') {
        return dynamic::provide_prefix(plugin, Prefix::new(gate), same());
    }
    let anything = Signature {
        params: None,
        result: Some(Schema::Any),
        types: Vec::new(),
    };
    dynamic::provide_with(plugin, gate, &anything, same())
}

/// The text of the one parameter, or of the array of all of them, as the caller wrote it, so that no number changes.
fn same(parameters: &str) -> Result<String, HandlerError> {
    let count = serde_json::from_str::<Vec<IgnoredAny>>(parameters)?.len();
    let all = parameters.trim();
    let one = all.strip_prefix('[').and_then(|all| all.strip_suffix(']'));
    Ok(match one {
        Some(one) if count == 1 => one.trim().to_owned(),
        _ => all.to_owned(),
    })
}
