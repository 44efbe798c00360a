//! The `callgate` program, as a program of this package: Cargo builds no other package's
//! programs for its tests.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    callgate_cli::run(std::env::args_os())
}
