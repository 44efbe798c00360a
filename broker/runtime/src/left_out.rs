//! Folders whose plugins cannot be used. They are listed as broken, and each has a log with the reason.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use callgate::BrokerHandle;
use parking_lot::Mutex;

use crate::course::RuntimeLogLine;
use crate::log::{LogLine, LogStream};

/// Folders whose plugins cannot be used. They are listed until this is dropped.
#[derive(Debug)]
pub(crate) struct LeftOut {
    broker: BrokerHandle,
    folders: Mutex<BTreeMap<PathBuf, Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    why: String,
    at: SystemTime,
}

impl LeftOut {
    pub(crate) fn new(broker: BrokerHandle) -> LeftOut {
        LeftOut {
            broker,
            folders: Mutex::default(),
        }
    }

    /// Adds a folder that cannot be used, with the reason.
    pub(crate) fn insert(&self, folder: &Path, why: &str) {
        let found = Found {
            why: why.to_owned(),
            at: SystemTime::now(),
        };
        self.folders.lock().insert(folder.to_owned(), found);
        // Fails only if the broker has ended, and then there are no listings.
        let _ = self.broker.set_broken(folder, Some(why));
    }

    /// Removes a folder, because its plugin can be used now or the folder is gone.
    pub(crate) fn remove(&self, folder: &Path) {
        if self.folders.lock().remove(folder).is_some() {
            let _ = self.broker.set_broken(folder, None);
        }
    }

    /// The reason why the plugin in the folder of this name cannot be used.
    pub(crate) fn why(&self, name: &str) -> Option<String> {
        let folders = self.folders.lock();
        let named = folders.iter().find(|(folder, _)| is_named(folder, name))?;
        Some(named.1.why.clone())
    }

    /// The log lines of the folders of this name, or of all folders: one line for each.
    pub(crate) fn log(&self, name: Option<&str>) -> Vec<(SystemTime, RuntimeLogLine)> {
        let folders = self.folders.lock();
        let named = folders
            .iter()
            .filter(|(folder, _)| name.is_none_or(|name| is_named(folder, name)));
        let line = |(folder, found): (&PathBuf, &Found)| {
            let line = LogLine {
                number: 1,
                at: found.at,
                stream: LogStream::Runtime,
                text: format!("it is left out: {}", found.why).into(),
                is_cut: false,
            };
            (found.at, RuntimeLogLine::new(&name_of(folder), &line))
        };
        named.map(line).collect()
    }
}

impl Drop for LeftOut {
    fn drop(&mut self) {
        for folder in self.folders.get_mut().keys() {
            let _ = self.broker.set_broken(folder, None);
        }
    }
}

fn is_named(folder: &Path, name: &str) -> bool {
    name_of(folder) == name
}

/// The last part of a folder's path, under which it is listed.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_else(|| OsStr::new("/"));
    name.to_string_lossy().into_owned()
}
