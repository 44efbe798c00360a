//! Parameters on the command line, for the commands that send JSON.

use std::io::{self, Read};

use callgate_client::{Code, Error};
use clap::Args;
use serde::de::IgnoredAny;

use crate::output::Failed;

#[derive(Debug, Args)]
pub(crate) struct Parameters {
    /// The parameters, one JSON value each, such as 7, '"text"' or '{"gain": 0.5}'; - reads one from standard input, and
    /// @FILE from a file
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    parameters: Vec<String>,
    /// All parameters as one JSON array
    #[arg(long, value_name = "ARRAY", conflicts_with = "parameters")]
    args: Option<String>,
}

impl Parameters {
    /// The array of parameters. Numbers and texts stay as they were written.
    pub(crate) fn array(&self) -> Result<String, Failed> {
        if let Some(args) = &self.args {
            serde_json::from_str::<Vec<IgnoredAny>>(args)
                .map_err(|why| wrong(&format!("--args is no JSON array: {why}")))?;
            return Ok(args.clone());
        }
        let mut array = "[".to_owned();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let text = read(parameter)?;
            serde_json::from_str::<IgnoredAny>(&text).map_err(|why| {
                let number = index + 1;
                wrong(&format!(
                    "parameter {number} is no JSON ({why}); a text is written with its quotes: '\"text\"'"
                ))
            })?;
            if index > 0 {
                array.push(',');
            }
            array.push_str(&text);
        }
        array.push(']');
        Ok(array)
    }
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
