//! The `callgate` program: it passes its arguments to the library in this package.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    callgate_cli::run(std::env::args_os())
}
