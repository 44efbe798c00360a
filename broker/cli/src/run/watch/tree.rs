//! The watched directories, and the plugins to which they belong.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::ignored::is_ignored;
use crate::run::folder::{has_manifest, is_manifest};

/// The most directories that are watched, because a plugin could make any number of them.
const MOST: usize = 8192;

/// Watched directories.
#[derive(Debug)]
pub(super) struct Tree {
    inotify: Inotify,
    paths: HashMap<WatchDescriptor, PathBuf>,
    /// The folders of plugins, and those that may become one.
    folders: HashSet<PathBuf>,
    /// Directories whose children are folders of plugins.
    parents: HashSet<PathBuf>,
    /// The directory with the data of all plugins. Without it, each plugin's data is in its own folder.
    data: Option<PathBuf>,
    /// Directories that cannot be watched, and were not reported yet.
    failures: Vec<String>,
    is_full: bool,
}

impl Tree {
    pub(super) fn new(data: Option<PathBuf>) -> io::Result<Tree> {
        Ok(Tree {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            paths: HashMap::new(),
            folders: HashSet::new(),
            parents: HashSet::new(),
            data,
            failures: Vec::new(),
            is_full: false,
        })
    }

    /// Watches a plugin's folder, or a directory with such folders.
    pub(super) fn add_root(&mut self, root: &Path) {
        match has_manifest(root) {
            true => self.folders.insert(root.to_owned()),
            false => self.parents.insert(root.to_owned()),
        };
        self.add(root);
    }

    /// Takes the reasons why directories are not watched, each reason once.
    pub(super) fn take_failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    /// Takes the plugins' folders in which something has changed since the last call.
    pub(super) fn changed(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        // The error means that there is nothing more to read.
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    self.look_anew();
                    changed.extend(self.folders.iter().cloned());
                } else if let Some(folder) = self.take(&event) {
                    changed.insert(folder);
                }
            }
        }
        changed
    }

    /// The plugin's folder that an event is about, if any.
    fn take(&mut self, event: &InotifyEvent) -> Option<PathBuf> {
        let directory = self.paths.get(&event.wd)?.clone();
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.paths.remove(&event.wd);
            return None;
        }
        let Some(name) = &event.name else {
            // The directory itself is gone. Unless it is a root, the directory above reports that.
            let is_root = self.folders.contains(&directory);
            return is_root.then_some(directory);
        };
        let path = directory.join(name);
        if self.is_passed_over(&path, name) {
            return None;
        }
        let is_child = self.parents.contains(&directory);
        let is_directory = event.mask.contains(AddWatchFlags::IN_ISDIR)
            || (is_child && (path.is_dir() || self.folders.contains(&path)));
        if is_directory {
            self.forget(&path);
            self.add(&path);
        } else if is_child {
            // A file beside the plugins' folders.
            return None;
        }
        let folder = self.folder_of(&path)?;
        if !is_directory && directory == folder && is_manifest(name) {
            // It may have become a plugin's folder just now.
            self.add(&folder);
        }
        Some(folder)
    }

    fn is_passed_over(&self, path: &Path, name: &OsStr) -> bool {
        let is_data = match &self.data {
            Some(data) => path == data,
            None => {
                name == "data"
                    && path
                        .parent()
                        .is_some_and(|folder| self.folders.contains(folder))
            }
        };
        is_data || is_ignored(name)
    }

    /// The plugin's folder that contains this path, or is it.
    fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        let found = path.ancestors().find(|path| self.folders.contains(*path));
        found.map(Path::to_owned)
    }

    /// Watches a directory and those below it.
    fn add(&mut self, directory: &Path) {
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            let is_child = directory
                .parent()
                .is_some_and(|parent| self.parents.contains(parent));
            if is_child {
                self.folders.insert(directory.clone());
            }
            // A directory that is not a plugin's may contain anything, and be large.
            let is_entered = !self.folders.contains(&directory) || has_manifest(&directory);
            if self.add_one(&directory) && is_entered {
                left.extend(self.below(&directory));
            }
        }
    }

    /// The subdirectories that are watched together with a directory.
    fn below(&self, directory: &Path) -> Vec<PathBuf> {
        let of_plugins = self.parents.contains(directory);
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| {
            let kind = entry.file_type();
            let is_link = kind.as_ref().is_ok_and(fs::FileType::is_symlink);
            let path = entry.path();
            // Symbolic links below a plugin's folder could form a circle.
            let is_directory = match is_link {
                true => of_plugins && path.is_dir(),
                false => kind.is_ok_and(|kind| kind.is_dir()),
            };
            is_directory && !self.is_passed_over(&path, &entry.file_name())
        });
        directories.map(|entry| entry.path()).collect()
    }

    /// Watches one directory. Returns false if it cannot be watched.
    fn add_one(&mut self, directory: &Path) -> bool {
        if self.paths.len() >= MOST {
            if !self.is_full {
                self.is_full = true;
                let why = format!(
                    "{}: there are more than {MOST} directories",
                    directory.display()
                );
                self.failures.push(why);
            }
            return false;
        }
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        match self.inotify.add_watch(directory, changes) {
            Ok(watch) => {
                self.paths.insert(watch, directory.to_owned());
                true
            }
            Err(errno) => {
                // If the directory is gone again, the watch of the one above reports that.
                if directory.exists() && !self.is_full {
                    self.failures
                        .push(format!("{}: {}", directory.display(), errno.desc()));
                    self.is_full = errno == nix::errno::Errno::ENOSPC;
                }
                false
            }
        }
    }

    /// Ends the watches of a directory that was moved or removed, and of those below it.
    fn forget(&mut self, directory: &Path) {
        let gone = self.paths.extract_if(|_, path| path.starts_with(directory));
        for (watch, _) in gone {
            // The kernel may already have ended it.
            let _ = self.inotify.rm_watch(watch);
        }
    }

    /// Watches what exists now, after the kernel could not report all changes.
    fn look_anew(&mut self) {
        let roots: Vec<PathBuf> = self.parents.iter().chain(&self.folders).cloned().collect();
        for root in roots {
            self.add(&root);
        }
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
