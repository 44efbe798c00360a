//! Waits until a file changes.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Programs write a file in several steps: it is read once it has not changed for this long.
const SETTLES_IN: Duration = Duration::from_millis(100);

/// Watches one file.
pub(crate) struct Watch {
    inotify: Inotify,
    name: OsString,
}

impl Watch {
    /// Watches from now on. This watches the directory, because editors write a new file and rename it over the old
    /// one.
    pub(crate) fn new(path: &Path) -> io::Result<Watch> {
        let path = std::fs::canonicalize(path)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = path
            .parent()
            .map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let changes =
            AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(&directory, changes)?;
        Ok(Watch {
            inotify,
            name: name.to_owned(),
        })
    }

    /// Waits until the file has changed since the last call of this, or since the watch began.
    pub(crate) fn wait(&self) -> io::Result<()> {
        loop {
            let events = self.inotify.read_events()?;
            let is_it = |name: &Option<OsString>| name.as_ref() == Some(&self.name);
            if events.iter().any(|event| is_it(&event.name)) {
                thread::sleep(SETTLES_IN);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writing_and_replacing_are_changes_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("watched"), "one").unwrap();
        let watch = Watch::new(&path("watched")).unwrap();
        let (sender, changes) = std::sync::mpsc::channel();
        thread::spawn(
            move || {
                while watch.wait().is_ok() && sender.send(()).is_ok() {}
            },
        );
        fs::write(path("other"), "two").unwrap();
        changes.recv_timeout(4 * SETTLES_IN).unwrap_err();
        let soon = Duration::from_secs(20);
        fs::write(path("watched"), "three").unwrap();
        changes.recv_timeout(soon).unwrap();
        while changes.recv_timeout(4 * SETTLES_IN).is_ok() {}
        fs::rename(path("other"), path("watched")).unwrap();
        changes.recv_timeout(soon).unwrap();
    }
}
