//! Where the plugins are, and where their data is kept.

use std::path::{Path, PathBuf};
use std::{fs, io};

use callgate_client::{Code, Error};

/// Absolute paths of folders, because a plugin's program is started in the plugin's folder.
#[derive(Debug)]
pub(super) struct Places {
    /// Each has a manifest, or has folders with manifests. All of them exist.
    pub(super) folders: Vec<PathBuf>,
    /// The directory with the data of all plugins. Without it, each plugin's data is in its own folder.
    pub(super) data: Option<PathBuf>,
}

impl Places {
    pub(super) fn new(folders: &[PathBuf], data: Option<&Path>) -> Result<Places, Error> {
        let mut places = Places {
            folders: Vec::new(),
            data: data.map(absolute).transpose()?,
        };
        for folder in folders {
            let path = absolute(folder)?;
            fs::read_dir(&path).map_err(|error| refused(folder, &error))?;
            if !places.folders.contains(&path) {
                places.folders.push(path);
            }
        }
        Ok(places)
    }

    /// Where the services keep their data.
    pub(super) fn of_services(&self) -> &Path {
        let first = self
            .folders
            .first()
            .map_or(Path::new("."), PathBuf::as_path);
        self.data.as_deref().unwrap_or(first)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| refused(path, &error))
}

fn refused(folder: &Path, error: &io::Error) -> Error {
    let text = format!("the folder {}: {error}", folder.display());
    Error::new(Code::InvalidArgument, text)
}
