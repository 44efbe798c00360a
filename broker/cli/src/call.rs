//! `callgate call`

use std::io::{self, Write};

use callgate_client::{Code, Error, dynamic};
use clap::Args;

use crate::parameters::Parameters;
use crate::{Common, Outcome};
use callgate::shown::shown_json_text;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The gate
    gate: String,
    #[command(flatten)]
    parameters: Parameters,
    /// Call the gate's action, which has no result
    #[arg(long)]
    action: bool,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let request = options.parameters.array()?;
    let plugin = common.connect("call")?;
    let mut gate = dynamic::open_json(&plugin, &options.gate)?;
    if options.action {
        gate = gate.action();
    }
    common.await_gate(|time| gate.wait_ready(time))?;
    let result = gate
        .with_timeout(common.timeout())
        .call(request.as_bytes())?;
    if options.action {
        return Ok(());
    }
    let result = str::from_utf8(&result).map_err(|_| {
        let text = "the result is no text, and so no JSON";
        Error::new(Code::Protocol, text).at_gate(options.gate.as_str())
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", shown_json_text(result))?;
    out.flush()?;
    Ok(())
}
