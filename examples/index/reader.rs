//! A reader: looks words up in the newest index, in place.

use callgate_client::{HandlerError, Plugin, View, gate_type};

use crate::cli::Role;
use crate::error::Error;
use crate::words::{Index, TAG};

/// The most lines that an answer names.
const LINES: usize = 8;

/// A reader's answer about a word.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// How often the word occurs in the file.
    pub(crate) count: u64,
    /// The first lines in which it occurs.
    pub(crate) lines: Vec<u32>,
    /// Whether it occurs in further lines.
    pub(crate) has_more: bool,
    /// The version of the index in which it was looked up.
    pub(crate) version: u64,
}

/// The gate of a reader.
pub(crate) fn gate(nth: u32) -> String {
    format!("Index.Reader{nth}")
}

/// Runs a reader until the bus ends.
pub(crate) fn run(nth: u32) -> Result<(), Error> {
    let plugin = Plugin::connect(&Role::Reader.plugin(nth))?;
    // The share may be opened before there is an index.
    let versions = plugin.shares().versions::<Index>(TAG)?;
    let handler = move |word: View<'_, String>| {
        // If nothing was published since the last call, this only loads a word from shared memory. The guard keeps
        // its version, also if the next one is published while this handler runs.
        let Some(index) = versions.latest()? else {
            return Err(HandlerError::new("NO_INDEX", "there is no index yet"));
        };
        let found = index.find(word.as_str());
        let lines = found.map_or(&[][..], |entry| &entry.lines);
        Ok(Answer {
            count: found.map_or(0, |entry| entry.count.to_native()),
            lines: lines
                .iter()
                .take(LINES)
                .map(|line| line.to_native())
                .collect(),
            has_more: lines.len() > LINES,
            version: index.version(),
        })
    };
    let _gate = plugin.provide(&gate(nth), handler)?;
    plugin.wait_closed();
    Ok(())
}
