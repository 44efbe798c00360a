//! Notices when the socket is removed: programs that clean up temporary files do that, and people.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use callgate_layout::socket::directory_of;

/// A watch of the socket's directory. The kernel reports removals, so that an idle broker need not wake up to look.
#[derive(Debug)]
pub(crate) struct DirectoryWatch {
    inotify: Inotify,
}

impl DirectoryWatch {
    /// Watches the directory of a socket.
    pub(crate) fn new(socket: &Path, registry: &Registry, token: Token) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let removals = AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory_of(socket), removals)?;
        let descriptor = inotify.as_fd().as_raw_fd();
        registry
            .register(&mut SourceFd(&descriptor), token, Interest::READABLE)
            .map_err(|_| Errno::ENOMEM)?;
        Ok(DirectoryWatch { inotify })
    }

    /// Reads all events. Returns `false` if no more will come, because the directory itself is gone.
    pub(crate) fn take(&self) -> bool {
        let mut is_alive = true;
        // Each read returns what the kernel has queued, which is bounded.
        while let Ok(events) = self.inotify.read_events() {
            let lost = AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_IGNORED
                | AddWatchFlags::IN_UNMOUNT;
            is_alive &= !events.iter().any(|event| event.mask.intersects(lost));
        }
        is_alive
    }
}
