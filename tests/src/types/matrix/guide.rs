//! The table of docs/evolving.md.

use std::fmt::Write;

use super::changes;

/// The table as Markdown.
#[must_use]
pub fn table() -> String {
    let mut table = "| change | from old to new | from new to old |\n|---|---|---|\n".to_owned();
    for change in changes() {
        let (old, new) = (change.old.cell(), change.new.cell());
        // Writing to a String does not fail.
        let _ = writeln!(table, "| {} | {old} | {new} |", change.text);
    }
    table
}
