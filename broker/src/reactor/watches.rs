//! When the memory of an extent is gone: when nobody holds it any more, however it was held.
//!
//! The kernel tells a watch of inotify of the end of a file, which is when the last reference goes: of
//! all descriptors, also those in flight and those of `O_PATH`, and of all maps. So the broker needs no
//! descriptor of an extent that is set up, the plugin that lets go of it last frees it, and nothing is
//! done while it is held. One instance of inotify serves all extents of a broker.
//!
//! A user may have only so many instances and watches. Where there is none left, the broker keeps a
//! descriptor and asks for leases instead ([`held`](super::held)).

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Reactor;
use super::tokens::WATCHES;
use crate::memory::AnyMemory;

/// The most extents that are watched: the kernel's queue holds all that can be told of them.
const MOST: usize = 4096;

/// What a watch is of.
#[derive(Clone, Copy, Debug)]
enum Watched {
    /// An extent of a link, or a ring.
    Used(AnyMemory),
    /// One of no more use, by the bus's number.
    LetGo(u64),
}

/// The watches of all extents.
#[derive(Debug)]
pub(super) struct Watches {
    /// `None` until there is an extent, and where there can be none.
    inotify: Option<Inotify>,
    was_tried: bool,
    watched: HashMap<WatchDescriptor, Watched>,
}

impl Watches {
    pub(super) fn new() -> Watches {
        Watches {
            inotify: None,
            was_tried: false,
            watched: HashMap::new(),
        }
    }

    /// Watches an extent; `None` where that is not possible.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        file: &OwnedFd,
        id: AnyMemory,
    ) -> Option<WatchDescriptor> {
        if self.watched.len() >= MOST {
            return None;
        }
        if !self.was_tried {
            self.was_tried = true;
            self.inotify = start(registry);
        }
        let inotify = self.inotify.as_ref()?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watch = inotify.add_watch(path.as_str(), AddWatchFlags::IN_DELETE_SELF);
        let watch = watch.ok()?;
        self.watched.insert(watch, Watched::Used(id));
        Some(watch)
    }

    /// From here on a watch is of an extent of no more use.
    pub(super) fn let_go(&mut self, watch: WatchDescriptor, serial: u64) {
        self.watched.insert(watch, Watched::LetGo(serial));
    }

    /// The watches whose files are gone since the last time.
    fn take_gone(&mut self) -> Vec<Watched> {
        let mut gone = Vec::new();
        // An error is that there is nothing more to read.
        while let Some(inotify) = &self.inotify
            && let Ok(events) = inotify.read_events()
        {
            // Of each file come two: its end, and that of the watch.
            let ends = events.iter().map(|event| event.wd);
            gone.extend(ends.filter_map(|watch| self.watched.remove(&watch)));
        }
        gone
    }
}

fn start(registry: &Registry) -> Option<Inotify> {
    let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
    let started = Inotify::init(flags)
        .map_err(std::io::Error::from)
        .and_then(|inotify| {
            let fd = inotify.as_fd().as_raw_fd();
            registry.register(&mut SourceFd(&fd), WATCHES, Interest::READABLE)?;
            Ok(inotify)
        });
    let unavailable = |error| {
        tracing::warn!("extents are looked at by and by, because they cannot be watched: {error}");
    };
    started.map_err(unavailable).ok()
}

impl Reactor {
    /// Takes note of extents whose memory is gone.
    pub(super) fn extents_gone(&mut self, now: Instant) {
        let mut serials = Vec::new();
        for watched in self.watches.take_gone() {
            match watched {
                Watched::LetGo(serial) => serials.push(serial),
                Watched::Used(id) => {
                    if let Some(memory) = self.memory.get_mut(&id) {
                        memory.is_gone = true;
                    }
                }
            }
        }
        if !serials.is_empty() {
            self.bus.extents_freed(&serials, now);
        }
    }
}
