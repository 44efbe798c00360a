//! Templates for folders of new plugins.
//!
//! The files next to this one are complete plugins with the name `my-plugin`; writing a template replaces the name.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use callgate::shown::shown_json;
use serde_json::Value;

use crate::manifest::check_name;

#[cfg(test)]
mod tests;

/// The plugin's name in the template's files, which is replaced.
const PLACEHOLDER: &str = "my-plugin";
/// The place in the Rust template's `Cargo.toml` where the dependency on the client is inserted.
const CLIENT: &str = "CLIENT";

/// The language that a template is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python 3 on pipes, needs no package.
    Python,
    /// JavaScript for Node.js on pipes, needs no package.
    Node,
    /// Rust over shared memory.
    Rust,
}

/// The error for a text other than `python`, `node` and `rust`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no template for `{0}`; there are python, node and rust")]
pub struct UnknownLanguage(String);

/// A file of a template.
struct File {
    path: &'static str,
    text: &'static str,
    is_program: bool,
}

impl Language {
    /// All languages.
    pub const ALL: [Language; 3] = [Language::Python, Language::Node, Language::Rust];

    fn files(self) -> Vec<File> {
        match self {
            Language::Python => vec![
                text("manifest.json", include_str!("python/manifest.json")),
                text("main.py", include_str!("python/main.py")),
            ],
            Language::Node => vec![
                text("manifest.json", include_str!("node/manifest.json")),
                text("main.js", include_str!("node/main.js")),
            ],
            Language::Rust => vec![
                text("manifest.json", include_str!("rust/manifest.json")),
                text("Cargo.toml", include_str!("rust/package.toml")),
                text("src/main.rs", include_str!("rust/main.rs")),
                File {
                    is_program: true,
                    ..text("run", include_str!("rust/run"))
                },
            ],
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Language::Python => "python",
            Language::Node => "node",
            Language::Rust => "rust",
        })
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Language, UnknownLanguage> {
        let mut all = Language::ALL.into_iter();
        let found = all.find(|language| language.to_string() == text);
        found.ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

/// Writes a plugin that runs without changes into a folder, which is created if it is missing. Returns the files' paths.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use callgate_runtime::{Manifest, template};
///
/// let parent = tempfile::tempdir()?;
/// let folder = parent.path().join("greeter");
/// let files = template::write(&folder, "greeter", template::Language::Python)?;
/// assert_eq!(files, [folder.join("manifest.json"), folder.join("main.py")]);
/// assert_eq!(Manifest::read(&folder)?.name(), "greeter");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a name that no plugin may have, [`io::ErrorKind::AlreadyExists`] if the folder is not empty, and any
/// error of the operating system.
pub fn write(folder: &Path, name: &str, language: Language) -> io::Result<Vec<PathBuf>> {
    if let Err(allowed) = check_name(name) {
        let why = format!("no plugin may have the name {name:?}; allowed: {allowed}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        let why = format!("the folder {} is not empty", folder.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let mut written = Vec::new();
    for file in language.files() {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let text = file.text.replace(PLACEHOLDER, name);
        let text = match file.path {
            "Cargo.toml" => text.replace(CLIENT, &client()),
            _ => text,
        };
        let mode = if file.is_program { 0o777 } else { 0o666 };
        let mut options = OpenOptions::new();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        opened.write_all(text.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

fn text(path: &'static str, text: &'static str) -> File {
    File {
        path,
        text,
        is_program: false,
    }
}

/// The value of the dependency on the client: a path to the sources that this program was built from, if they still exist; otherwise the
/// published version.
fn client() -> String {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../../client");
    let sources = fs::canonicalize(sources).ok();
    let sources = sources.filter(|path| path.join("Cargo.toml").is_file());
    // A JSON text without control characters is also a TOML text.
    let quoted = |text: &str| shown_json(&Value::from(text));
    match sources.as_deref().and_then(Path::to_str) {
        Some(path) => format!("{{ path = {} }}", quoted(path)),
        None => quoted(env!("CARGO_PKG_VERSION")),
    }
}
