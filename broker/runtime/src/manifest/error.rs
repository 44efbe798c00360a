//! The errors for a manifest.

use std::io;
use std::path::{Path, PathBuf};

/// Why the manifest of a plugin's folder cannot be used. Each error names the file; an error about a value also names the key, what was
/// found there, and what is allowed.
///
/// ```
/// let folder = std::env::temp_dir().join("a-folder-that-is-not-there");
/// let error = callgate_runtime::Manifest::read(&folder).unwrap_err();
/// assert!(error.to_string().contains("has no manifest"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The folder has neither of the two files.
    #[error(
        "the folder {} has no manifest: write `manifest.json` or `plugin.toml`",
        folder.display()
    )]
    Missing {
        /// The plugin's folder.
        folder: PathBuf,
    },
    /// The folder has both files, which could contradict each other.
    #[error(
        "the folder {} has both `manifest.json` and `plugin.toml`; remove one of them",
        folder.display()
    )]
    Both {
        /// The plugin's folder.
        folder: PathBuf,
    },
    /// The operating system refused to read the file.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The manifest.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not valid JSON or TOML, or is too long.
    #[error("{}: {why}", file.display())]
    Syntax {
        /// The manifest.
        file: PathBuf,
        /// What is wrong, with the line if it is known.
        why: String,
    },
    /// A key is missing or unknown, or has a value that is not allowed.
    #[error("{}: `{key}` {found}; allowed: {allowed}", file.display())]
    Key {
        /// The manifest.
        file: PathBuf,
        /// The place in the document, such as `backend.command[0]`.
        key: String,
        /// What was found there: `is the number 5`, `is missing`.
        found: String,
        /// What is allowed there.
        allowed: String,
    },
}

/// An error at a key; the caller adds the file's path to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) found: String,
    pub(super) allowed: String,
}

impl Wrong {
    pub(super) fn in_file(self, file: &Path) -> ManifestError {
        ManifestError::Key {
            file: file.to_owned(),
            key: self.key,
            found: self.found,
            allowed: self.allowed,
        }
    }
}
