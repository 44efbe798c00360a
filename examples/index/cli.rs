//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The file to index by default: one of this repository.
const OWN_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");

/// Shares an index of the words of a file among several plugins.
#[derive(Clone, Debug, Parser)]
#[command(name = "index", version)]
pub(crate) struct Args {
    /// The file [default: ARCHITECTURE.md of this repository].
    file: Option<PathBuf>,

    /// Look this word up and end; may be given several times. Without it the words are the lines of the input.
    #[arg(long, value_name = "WORD")]
    pub(crate) find: Vec<String>,

    /// How many plugins look words up, one after the other.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) readers: u32,

    /// Remove the index at the end, so that the next run makes it anew.
    #[arg(long)]
    pub(crate) forget: bool,

    /// Where the bus is [default: `index.sock` beside the socket of the user's bus]. Each bus has an index of its own.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Be one of the plugins; the host starts them with this option.
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) plugin: Option<Role>,

    /// The number of the reader to be.
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) nth: u32,
}

/// The plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Makes the index, and updates it when the file changes.
    Indexer,
    /// Looks words up.
    Reader,
}

impl Role {
    /// The argument that starts this plugin.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Indexer => "indexer",
            Role::Reader => "reader",
        }
    }

    /// The name of the plugin, which depends on `nth` for readers.
    pub(crate) fn plugin(self, nth: u32) -> String {
        match self {
            Role::Indexer => self.name().to_owned(),
            Role::Reader => format!("{}-{nth}", self.name()),
        }
    }
}

impl Args {
    pub(crate) fn from_command_line() -> Args {
        Args::parse()
    }

    /// The file to index.
    pub(crate) fn file(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| OWN_FILE.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound_and_needs_no_arguments() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["index"]).unwrap();
        assert!(args.file().exists(), "{}", args.file().display());
        assert_eq!((args.readers, args.forget), (3, false));
        for wrong in ["--readers=0", "--readers=65", "--find"] {
            let error = Args::try_parse_from(["index", wrong]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
