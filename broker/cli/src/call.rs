//! `callgate call`

use std::io::{self, Read, Write};

use callgate_client::{Code, Error, dynamic};
use clap::Args;
use serde::de::IgnoredAny;

use crate::output::Failed;
use crate::{Common, Outcome};
use callgate::shown::shown_json_text;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The gate
    gate: String,
    /// The parameters, one JSON value each, such as 7, '"text"' or '{"gain": 0.5}'; - reads one from standard input, and
    /// @FILE from a file
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    parameters: Vec<String>,
    /// All parameters as one JSON array
    #[arg(long, value_name = "ARRAY", conflicts_with = "parameters")]
    args: Option<String>,
    /// Call the gate's action, which has no result
    #[arg(long)]
    action: bool,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let request = request(options)?;
    let plugin = common.connect("call")?;
    let mut gate = dynamic::open_json(&plugin, &options.gate)?;
    if options.action {
        gate = gate.action();
    }
    gate.wait_ready(common.timeout)?;
    let result = gate.with_timeout(common.timeout).call(request.as_bytes())?;
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

/// The array of parameters. Numbers and texts stay as they were written.
fn request(options: &Options) -> Result<String, Failed> {
    if let Some(args) = &options.args {
        serde_json::from_str::<Vec<IgnoredAny>>(args)
            .map_err(|why| wrong(&format!("--args is no JSON array: {why}")))?;
        return Ok(args.clone());
    }
    let mut request = "[".to_owned();
    for (index, parameter) in options.parameters.iter().enumerate() {
        let text = read(parameter)?;
        serde_json::from_str::<IgnoredAny>(&text).map_err(|why| {
            let number = index + 1;
            wrong(&format!(
                "parameter {number} is no JSON ({why}); a text is written with its quotes: '\"text\"'"
            ))
        })?;
        if index > 0 {
            request.push(',');
        }
        request.push_str(&text);
    }
    request.push(']');
    Ok(request)
}

fn read(parameter: &str) -> Result<String, Failed> {
    let mut text = String::new();
    let read = match parameter.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map(|read| text = read),
        None if parameter == "-" => io::stdin().lock().read_to_string(&mut text).map(drop),
        None => {
            parameter.clone_into(&mut text);
            Ok(())
        }
    };
    match read {
        Ok(()) => Ok(text),
        Err(why) => Err(Failed::Other(format!("reading {parameter}: {why}"))),
    }
}

fn wrong(text: &str) -> Failed {
    Error::new(Code::InvalidArgument, text).into()
}
