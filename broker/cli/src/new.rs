//! `callgate new`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use callgate_client::{Code, Error};
use callgate_runtime::template::{self, Language};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The plugin's name, which is also that of its folder; or a path that ends in it, such as plugins/clock
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// What it is written in
    #[arg(long = "lang", value_name = "LANGUAGE", value_parser = language())]
    language: Language,
}

fn language() -> impl TypedValueParser<Value = Language> {
    PossibleValuesParser::new(["python", "node", "rust"]).try_map(|text| text.parse::<Language>())
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let folder = &options.folder;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let files = template::write(folder, &name, options.language).map_err(failed)?;
    let shown_path = |path: &Path| path.display().to_string();
    let mut out = io::stdout().lock();
    if common.json {
        let files: Vec<String> = files.iter().map(|file| shown_path(file)).collect();
        let document = json!({ "plugin": name, "folder": shown_path(folder), "files": files });
        writeln!(out, "{}", shown_json(&document))?;
    } else {
        for file in &files {
            writeln!(out, "{}", shown(&shown_path(file)))?;
        }
        writeln!(
            out,
            "run it with: callgate run {}",
            shown(&shown_path(folder))
        )?;
    }
    out.flush()?;
    Ok(())
}

fn failed(error: io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::AlreadyExists => Code::InvalidArgument,
        io::ErrorKind::PermissionDenied => Code::PermissionDenied,
        _ => Code::System,
    };
    Error::new(code, error.to_string())
}
