//! `callgate completions`: what a shell needs to complete the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{CommandLine, Outcome};

pub(crate) fn run(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    generate(shell, &mut CommandLine::command(), "callgate", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
