//! `--watch`: reports the plugins' folders in which something has changed.
//!
//! A thread waits for events from the kernel (inotify), and does nothing while nothing changes. `tree` knows which
//! directories are watched and to which plugins they belong, `ignored` which changes do not matter, and `pending`
//! waits until a folder is quiet.

mod ignored;
mod pending;
mod tree;

use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::happening::Happening;
use super::places::Places;
use pending::Pending;
use tree::Tree;

/// Watches folders that have a manifest, or that have folders of plugins, and reports changes.
pub(super) fn watch(places: &Places, tell: Sender<Happening>) -> io::Result<()> {
    let mut tree = Tree::new(places.data.clone())?;
    for root in &places.folders {
        tree.add_root(root);
    }
    let thread = thread::Builder::new().name("callgate-watch".into());
    thread.spawn(move || serve(tree, &tell)).map(drop)
}

/// Reports changes until the command no longer receives them.
fn serve(mut tree: Tree, tell: &Sender<Happening>) {
    let mut pending = Pending::default();
    loop {
        for why in tree.take_failures() {
            if tell.send(Happening::Unwatched(why)).is_err() {
                return;
            }
        }
        if let Err(errno) = wait(&tree, pending.next()) {
            // The command may have ended already.
            let _ = tell.send(Happening::Unwatched(errno.to_string()));
            return;
        }
        for folder in tree.changed() {
            pending.note(folder, Instant::now());
        }
        for folder in pending.due(Instant::now()) {
            if tell.send(Happening::Changed(folder)).is_err() {
                return;
            }
        }
    }
}

/// Waits until the kernel reports something, or until this time.
fn wait(tree: &Tree, until: Option<Instant>) -> nix::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    // One millisecond more, because poll counts whole milliseconds.
    let left = left.map(|left| left + Duration::from_millis(1));
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    let mut watched = [PollFd::new(tree.as_fd(), PollFlags::POLLIN)];
    match poll(&mut watched, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
