//! The programs that run a plugin's file when it cannot be executed itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Programs that run a plugin's `backend.entry`, by its extension.
///
/// By default `python3 -u` runs `.py`, and `node` runs `.js`, `.mjs` and `.cjs`. A file without an extension, or with one that has no
/// launcher and the permission to be executed, is started itself.
///
/// ```
/// use callgate_runtime::Launchers;
///
/// let launchers = Launchers::default().with("rb", ["ruby"]).with("py", ["/opt/python/bin/python3", "-u"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launchers {
    by_extension: BTreeMap<String, Vec<OsString>>,
}

/// Why a plugin's `backend.entry` cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The file does not exist.
    #[error("`backend.entry` is `{}`, and there is no such file in the plugin's folder", entry.display())]
    NoEntry {
        /// The file.
        entry: PathBuf,
    },
    /// No launcher is configured for the file's extension, and the file is not executable.
    #[error(
        "no launcher is configured for `{}`, and it may not be executed; name a `backend.command`, or configure a launcher \
         (there are: {known})",
        entry.display()
    )]
    NoLauncher {
        /// The file.
        entry: PathBuf,
        /// The extensions that have a launcher.
        known: String,
    },
}

impl Default for Launchers {
    fn default() -> Launchers {
        Launchers::none()
            .with("py", ["python3", "-u"])
            .with("js", ["node"])
            .with("mjs", ["node"])
            .with("cjs", ["node"])
    }
}

impl Launchers {
    /// No launchers: each `backend.entry` must be executable itself.
    pub fn none() -> Launchers {
        Launchers {
            by_extension: BTreeMap::new(),
        }
    }

    /// Sets the program, with its first arguments, that runs files with this extension (given without its dot). An empty command removes
    /// the launcher of the extension.
    #[must_use]
    pub fn with<T: Into<OsString>>(
        mut self,
        extension: &str,
        command: impl IntoIterator<Item = T>,
    ) -> Launchers {
        let command: Vec<OsString> = command.into_iter().map(Into::into).collect();
        match command.is_empty() {
            true => self.by_extension.remove(extension),
            false => self.by_extension.insert(extension.to_owned(), command),
        };
        self
    }

    /// The program and arguments that start `entry` in `folder`.
    pub(super) fn command_line(
        &self,
        folder: &Path,
        entry: &Path,
    ) -> Result<Vec<OsString>, LaunchError> {
        let file = folder.join(entry);
        let Some(extension) = entry.extension() else {
            return Ok(vec![file.into()]);
        };
        let launcher = extension
            .to_str()
            .and_then(|extension| self.by_extension.get(extension));
        if let Some(launcher) = launcher {
            let mut command = launcher.clone();
            command.push(file.into());
            return Ok(command);
        }
        let metadata = file.metadata();
        let is_program =
            metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        match is_program {
            true => Ok(vec![file.into()]),
            false => Err(LaunchError::NoLauncher {
                entry: entry.to_owned(),
                known: self.known(),
            }),
        }
    }

    fn known(&self) -> String {
        let extensions: Vec<String> = self
            .by_extension
            .keys()
            .map(|key| format!(".{key}"))
            .collect();
        match extensions.is_empty() {
            true => "none".to_owned(),
            false => extensions.join(", "),
        }
    }
}
