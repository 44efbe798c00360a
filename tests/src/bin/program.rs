//! The `callgate` program, as a program of this package: Cargo builds only the programs of a test's own package for
//! it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    callgate_cli::run(std::env::args_os())
}
