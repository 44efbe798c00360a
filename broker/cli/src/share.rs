//! `callgate share`

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::json;

use crate::{Common, Outcome, ls};
use callgate::shown::shown_json;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Show all shares, also persistent ones that nobody uses; as `callgate ls shares` does
    Ls,
    /// Print the value of a share as JSON
    ///
    /// A slice of numbers is read where it lies. Any other value is written as JSON by the plugin that made it, which has to be
    /// there.
    Get {
        /// Its tag
        tag: String,
    },
    /// Forget a persistent share: who uses it keeps it, and nobody finds it again
    Rm {
        /// Its tag
        tag: String,
    },
}

pub(crate) fn run(common: &Common, action: &Action) -> Outcome {
    match action {
        Action::Ls => ls::run(common, Some(ls::What::Shares)),
        Action::Get { tag } => get(common, tag),
        Action::Rm { tag } => remove(common, tag),
    }
}

fn get(common: &Common, tag: &str) -> Outcome {
    let plugin = common.connect("share")?;
    let value = plugin.shares().timeout(common.timeout()).get_json(tag)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", shown_json(&value))?;
    out.flush()?;
    Ok(())
}

fn remove(common: &Common, tag: &str) -> Outcome {
    let plugin = common.connect("share")?;
    plugin.shares().timeout(common.timeout()).remove(tag)?;
    if common.json {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", shown_json(&json!({ "removed": tag })))?;
        out.flush()?;
    }
    Ok(())
}
