//! An index of the words of a file, which one plugin makes and keeps up to date, and several others read where it lies.
//!
//! ```text
//! cargo run --release --example index -- [FILE] [--find WORD]... [--readers N] [--forget]
//! ```
//!
//! Each line of the input is a word that is looked up, by one reader after the other. Change the file meanwhile: the next
//! answer is of the new version. End the program and start it again: the index is found and not made, unless the file has
//! changed. `--find WORD` asks for these words only and ends; `--forget` removes the index at the end.
//!
//! All of it is in four files: `words.rs` is what is shared, `indexer.rs` and `reader.rs` are the plugins, `host.rs` starts
//! them and asks. The index is a *persistent share* under the tag `Index.Words`, and each state of the file a *version* of it.
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
