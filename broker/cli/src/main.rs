//! The `callgate` program: it hands its arguments to the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    callgate_cli::run(std::env::args_os())
}
