//! Watches for the end of memory: of extents, rings and versions that no process holds any more, in whatever way it held them.
//!
//! The kernel reports the end of a file to a watch of inotify. That is when the last reference goes: all descriptors, also those in flight
//! and those opened with `O_PATH`, and all maps. So the broker needs no descriptor of an extent that is set up, the plugin that lets go of
//! it last frees it, and nothing is done while it is held. One instance of inotify serves all memory of a broker.
//!
//! The kernel limits a user's instances and watches. If there are none left, the broker keeps a descriptor and asks for leases instead
//! ([`held`](super::held)).

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Reactor;
use super::tokens::WATCHES;
use crate::memory::AnyMemory;

/// How many pieces of memory are watched at most: the kernel's queue of events has room for all of them.
const MOST: usize = 4096;

/// What a watch is for.
#[derive(Clone, Copy, Debug)]
enum Watched {
    /// Memory that is in use.
    Used(AnyMemory),
    /// Memory that was let go, by its serial number.
    LetGo(u64),
}

/// All watches of a broker.
#[derive(Debug)]
pub(super) struct Watches {
    /// `None` until the first memory is watched, and if the kernel gives no instance.
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

    /// Watches some memory. Returns `None` if that is not possible.
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

    /// Notes that the memory of a watch was let go, under this serial number.
    pub(super) fn let_go(&mut self, watch: WatchDescriptor, serial: u64) {
        self.watched.insert(watch, Watched::LetGo(serial));
    }

    /// Takes out the watches whose files have gone since the last call.
    fn take_gone(&mut self) -> Vec<Watched> {
        let mut gone = Vec::new();
        // An error means that there is nothing more to read.
        while let Some(inotify) = &self.inotify
            && let Ok(events) = inotify.read_events()
        {
            // For each file there are two events: its end, and the end of the watch.
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
    /// Called when inotify has events: tells the bus which memory is gone that was let go, and notes which is gone before that.
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
