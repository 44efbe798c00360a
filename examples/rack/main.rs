//! A rack of four audio plugins: an instrument, a filter, a delay and a meter, each a process of
//! its own, called by a host that renders music through them and survives when one is killed.
//!
//! To write a plugin, read `plugins.rs`; to write a host, read `rack.rs` and `host.rs`. The type that they exchange
//! is in `block.rs`, the events that the host hears in `heard.rs`, the meter's cell in `meter.rs`, and the share that
//! the delay reads in `response.rs`. The other files are about audio, and use no bus.
#![forbid(unsafe_code)]

mod block;
mod cli;
mod delay;
mod error;
mod filter;
mod heard;
mod host;
mod instrument;
mod kill;
mod math;
mod meter;
mod plan;
mod plugins;
mod progress;
mod rack;
mod report;
mod response;
mod stats;
mod wav;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

fn main() -> ExitCode {
    let args = cli::Args::from_command_line();
    let (who, outcome) = match args.plugin {
        Some(role) => (role.name(), plugins::run(role, args.input.as_deref())),
        None => ("rack", host(&args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{who}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn host(args: &cli::Args) -> Result<(), error::Error> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal sets `interrupted`; a second one ends the program at once. If no handler can be installed,
        // the first one ends it.
        let _ = flag::register_conditional_shutdown(signal, 1, interrupted.clone());
        let _ = flag::register(signal, interrupted.clone());
    }
    let report = host::run(args, &interrupted)?;
    // The audio is written, so a report that cannot be printed is no error.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}
