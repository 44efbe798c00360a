//! Folders whose plugins cannot be used. They are listed as broken, and each has a log with the reason.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use callgate::BrokerHandle;
use parking_lot::Mutex;

use crate::course::RuntimeLogLine;
use crate::error::RuntimeError;
use crate::log::{LogLine, LogStream};
use crate::manifest::Manifest;

/// Folders whose plugins cannot be used. They are listed until this is dropped.
#[derive(Debug)]
pub(crate) struct LeftOut {
    broker: BrokerHandle,
    folders: Mutex<BTreeMap<PathBuf, Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    /// The name under which it is listed.
    name: String,
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

    /// Adds a folder that cannot be used, with the reason. It is listed by the name in its manifest if that can be read and no plugin has
    /// it (`is_taken`), otherwise by the name of the folder.
    pub(crate) fn insert(&self, folder: &Path, why: &str, is_taken: impl Fn(&str) -> bool) {
        let name = Manifest::name_in(folder).filter(|name| !is_taken(name));
        let found = Found {
            name: name.unwrap_or_else(|| name_of(folder)),
            why: why.to_owned(),
            at: SystemTime::now(),
        };
        // Fails only if the broker has ended, and then there are no listings.
        let _ = self.broker.set_broken(folder, Some((&found.name, why)));
        self.folders.lock().insert(folder.to_owned(), found);
    }

    /// Removes a folder, because its plugin can be used now or the folder is gone.
    pub(crate) fn remove(&self, folder: &Path) {
        if self.folders.lock().remove(folder).is_some() {
            let _ = self.broker.set_broken(folder, None);
        }
    }

    /// The reason why the plugin of this name cannot be used.
    fn why(&self, name: &str) -> Option<String> {
        let folders = self.folders.lock();
        let named = folders.values().find(|found| found.name == name)?;
        Some(named.why.clone())
    }

    /// The error for a caller who means a plugin that the runtime does not supervise.
    pub(crate) fn no_plugin(&self, name: &str) -> RuntimeError {
        let name = name.to_owned();
        match self.why(&name) {
            Some(why) => RuntimeError::LeftOut { name, why },
            None => RuntimeError::Unknown { name },
        }
    }

    /// The log lines of the plugins of this name, or of all: one line for each.
    pub(crate) fn log(&self, name: Option<&str>) -> Vec<(SystemTime, RuntimeLogLine)> {
        let folders = self.folders.lock();
        let named = folders
            .values()
            .filter(|found| name.is_none_or(|name| found.name == name));
        let line = |found: &Found| {
            let line = LogLine {
                number: 1,
                at: found.at,
                stream: LogStream::Runtime,
                text: format!("it is left out: {}", found.why).into(),
                is_cut: false,
            };
            (found.at, RuntimeLogLine::new(&found.name, &line))
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

/// The last part of a folder's path.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_else(|| OsStr::new("/"));
    name.to_string_lossy().into_owned()
}
