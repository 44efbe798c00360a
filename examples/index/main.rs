//! An index of the words in a file. One plugin makes it and keeps it up to date, and several others read it in place.
//!
//! ```text
//! cargo run --release --example index -- [FILE] [--find WORD]... [--readers N] [--forget]
//! ```
//!
//! Each line of the input is a word to look up; the readers answer in turn. Change the file meanwhile: the next
//! answer uses the new version. End the program and start it again: it finds the index and need not make it, unless
//! the file has changed. `--find WORD` looks only these words up and ends; `--forget` removes the index at the end.
//!
//! There are four main files: `words.rs` defines what is shared, `indexer.rs` and `reader.rs` are the plugins, and
//! `host.rs` starts them and asks. The index is a *persistent share* under the tag `Index.Words`, and each state of
//! the file is a *version* of it.
#![forbid(unsafe_code)]

mod cli;
mod error;
mod host;
mod indexer;
mod reader;
mod watch;
mod words;

use std::io::Write;
use std::process::ExitCode;

use cli::Role;

fn main() -> ExitCode {
    let args = cli::Args::from_command_line();
    let (who, outcome) = match &args.plugin {
        Some(Role::Indexer) => ("indexer", indexer::run(args.file())),
        Some(Role::Reader) => ("reader", reader::run(args.nth)),
        None => ("index", host::run(&args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{who}: {error}");
            ExitCode::FAILURE
        }
    }
}
