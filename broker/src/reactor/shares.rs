//! Shares in the shell: their pages, the memory of their versions as it is sent to many readers, and memory that plugins return.
//!
//! For each share the broker has two descriptors that it sends to plugins: the page, and the newest version. Plugins can only read both:
//! the page is sealed against all maps for writing but the broker's own, a version against every change.

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToBroker, ShareToPlugin, ToBroker};
use callgate_layout::shares::page::{PAGE_LEN, PageWriter};
use callgate_layout::sys::fdpass::Received;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::WriteView;

use super::failures::no_memory;
use super::memory::{Flaw, Memory, check_allocated};
use super::{Outcome, Reactor};
use crate::bus::protocol;
use crate::id::PluginId;
use crate::memory::AnyMemory;

/// The page of a share.
#[derive(Debug)]
pub(super) struct SharePage {
    file: Arc<OwnedFd>,
    writer: PageWriter,
}

impl SharePage {
    fn new() -> io::Result<SharePage> {
        let file = memfd::create("callgate-share-page", PAGE_LEN)?;
        let map = Mapping::writable(file.try_clone()?, PAGE_LEN)?;
        memfd::seal_writer(file.as_fd())?;
        let view = WriteView::new(map).ok_or(io::ErrorKind::PermissionDenied)?;
        Ok(SharePage {
            file: Arc::new(file),
            writer: PageWriter::new(view),
        })
    }
}

/// The descriptors that came with a datagram.
#[derive(Debug)]
pub(super) enum Came {
    Nothing,
    One(OwnedFd),
    /// The broker's process had no room for the descriptors, or there were too many.
    Cut,
}

impl Came {
    /// Notes whether the kernel has cut descriptors off. Those that came are added later.
    pub(super) fn with(received: &Received) -> Came {
        match received.cut {
            true => Came::Cut,
            false => Came::Nothing,
        }
    }

    /// Whether a record may have come with this. Only `Return` may have a descriptor; one without is answered with a failure.
    pub(super) fn may_come_with(&self, record: Option<&ToBroker>) -> bool {
        let is_return = matches!(record, Some(ToBroker::Share(ShareToBroker::Return { .. })));
        is_return || matches!(self, Came::Nothing)
    }
}

/// Why memory that a plugin returns cannot be used.
#[derive(Debug)]
enum Wrong {
    /// It is the plugin's fault.
    Plugin(String),
    /// The kernel refused something.
    Kernel(io::Error),
}

/// Checks memory that a plugin returns. Gives new descriptors of it, for reading only: one for users, one for the broker.
fn look_at(file: &OwnedFd, len: u64) -> Result<[OwnedFd; 2], Wrong> {
    let wrong = |what: &str| {
        Err(Wrong::Plugin(format!(
            "the memory of a share that it returned {what}"
        )))
    };
    let fd = file.as_fd();
    if !memfd::is_sealed_for_good(fd) || !memfd::is_in_memory(fd) {
        return wrong("is no memory file that nobody can change (all four seals)");
    }
    match memfd::len(fd) {
        Ok(found) if found == len => {}
        Ok(found) => return wrong(&format!("has {found} bytes, not {len}")),
        Err(error) => return Err(Wrong::Kernel(error)),
    }
    match check_allocated(file, len) {
        Ok(()) => {}
        Err(Flaw::Missing(allocated)) => {
            return wrong(&format!("has only {allocated} of {len} bytes allocated"));
        }
        Err(Flaw::Sealed(error)) => return Err(Wrong::Kernel(error)),
    }
    let open = || memfd::reopen(fd, false).map_err(Wrong::Kernel);
    Ok([open()?, open()?])
}

impl Reactor {
    /// Keeps the first descriptor that came with a datagram, and closes the others. Returns whether there were others.
    pub(super) fn keep_what_came(&mut self, descriptors: Vec<OwnedFd>) -> bool {
        let mut descriptors = descriptors.into_iter();
        if let Some(first) = descriptors.next()
            && matches!(self.came, Came::Nothing)
        {
            self.came = Came::One(first);
        }
        let rest: Vec<OwnedFd> = descriptors.collect();
        let has_more = !rest.is_empty();
        self.close_elsewhere(rest);
        has_more
    }

    /// Closes the descriptor that came with the last datagram, if it was not kept.
    pub(super) fn close_what_came(&mut self) {
        if let Came::One(file) = mem::replace(&mut self.came, Came::Nothing) {
            self.close_elsewhere(vec![file]);
        }
    }

    /// Closes descriptors that came from plugins on a thread of its own, because closing an unknown file can take any time.
    fn close_elsewhere(&self, files: Vec<OwnedFd>) {
        if files.is_empty() {
            return;
        }
        let closing = self.way_back.once("callgate-close", move || {
            drop(files);
            Outcome::new(|_, _| {})
        });
        if let Err(error) = closing {
            tracing::warn!("descriptors of a plugin are closed where that may take long: {error}");
        }
    }

    /// Makes memory for a version and sends it to its maker. Makes the share's page if there is none.
    pub(super) fn make_share_version(
        &mut self,
        to: PluginId,
        (version, share, len): (u64, u64, u64),
        record: ShareToPlugin,
        now: Instant,
    ) {
        let memory = AnyMemory::Version(version);
        let room = self.held.closing.check();
        let made = room.and_then(|()| self.make_share_page(share, 3));
        let made = made.and_then(|()| {
            let made = self.make_watched("callgate-share", memory, len);
            made.map_err(|error| no_memory("a share", &error))
        });
        self.hand_out_made(to, (memory, made), (record.into(), None), now);
    }

    /// Makes sealed memory with the bytes of a short version, and the share's page if there is none. No other process has had that memory,
    /// so the kernel seals it at once.
    pub(super) fn copy_share_version(
        &mut self,
        from: PluginId,
        (version, share): (u64, u64),
        value: &[u8],
        now: Instant,
    ) {
        let memory = AnyMemory::Version(version);
        let made = self.make_share_page(share, 3).and_then(|()| {
            let made = self.make_copied("callgate-share", memory, value);
            made.map_err(|error| no_memory("a share", &error))
        });
        match made {
            Ok(made) => {
                self.memory.insert(memory, made);
                self.bus.memory_sealed(memory, now);
            }
            Err(failure) => self.bus.memory_not_made(from, memory, failure, now),
        }
    }

    /// Makes the page of a share if it has none and `descriptors` more are allowed. A further version needs no check, because it replaces
    /// the one before.
    pub(super) fn make_share_page(&mut self, share: u64, descriptors: u64) -> Result<(), Failure> {
        if !self.share_pages.contains_key(&share) {
            self.check_share_room(descriptors)?;
            let page =
                SharePage::new().map_err(|error| no_memory("the page of a share", &error))?;
            self.share_pages.insert(share, page);
        }
        Ok(())
    }

    /// Keeps the descriptor that came with the record which is handled now, as the memory of a version.
    pub(super) fn keep_returned(&mut self, from: PluginId, version: u64, now: Instant) {
        let failure = match mem::replace(&mut self.came, Came::Nothing) {
            // Checked here, because many can wait to be examined.
            Came::One(file) => match self.check_share_room(0) {
                Ok(()) => {
                    self.returned.insert(version, file);
                    return;
                }
                Err(failure) => {
                    self.close_elsewhere(vec![file]);
                    failure
                }
            },
            Came::Nothing => Failure::new(
                Code::Protocol,
                "no memory came with a share that it returned",
            ),
            Came::Cut => Failure::new(
                Code::System,
                "the broker has no descriptor left for a share that is returned (RLIMIT_NOFILE), or several came with it",
            ),
        };
        let memory = AnyMemory::Version(version);
        self.bus.memory_not_made(from, memory, failure, now);
    }

    /// Checks memory that a plugin has returned, on a thread of its own, because it may be a file of any kind.
    pub(super) fn examine_returned(
        &mut self,
        from: PluginId,
        (version, share, len): (u64, u64, u64),
        now: Instant,
    ) {
        let Some(file) = self.returned.remove(&version) else {
            return;
        };
        let looking = self.way_back.once("callgate-return", move || {
            let found = look_at(&file, len);
            drop(file);
            Outcome::new(move |reactor, now| {
                reactor.examined(from, (version, share, len), found, now);
            })
        });
        if let Err(error) = looking {
            let failure = no_memory("a thread that looks at memory", &error);
            self.bus
                .memory_given_up(from, AnyMemory::Version(version), failure, now);
        }
    }

    fn examined(
        &mut self,
        from: PluginId,
        (version, share, len): (u64, u64, u64),
        found: Result<[OwnedFd; 2], Wrong>,
        now: Instant,
    ) {
        let memory = AnyMemory::Version(version);
        if self.bus.shares().making(version).is_none() {
            // Closing the last descriptors can free much memory.
            return self.close_elsewhere(found.map(Vec::from).unwrap_or_default());
        }
        let kept = found.map_err(|wrong| match wrong {
            Wrong::Plugin(what) => protocol(&what),
            Wrong::Kernel(error) => no_memory("anything of memory that was returned", &error),
        });
        let kept = kept.and_then(|files| self.keep_found((version, share, len), files));
        match kept {
            Ok(()) => self.bus.memory_sealed(memory, now),
            Err(failure) => self.bus.memory_given_up(from, memory, failure, now),
        }
    }

    /// Keeps sealed memory that the broker has not made, and makes the page of its share.
    pub(super) fn keep_found(
        &mut self,
        (version, share, len): (u64, u64, u64),
        [file, own]: [OwnedFd; 2],
    ) -> Result<(), Failure> {
        self.make_share_page(share, 1)?;
        let started = self.start_memory_helper();
        started.map_err(|error| no_memory("a thread for memory", &error))?;
        let memory = AnyMemory::Version(version);
        let watch = self.watches.add(self.poll.registry(), &file, memory);
        // Only asking for leases needs a descriptor of the broker's own.
        let own = watch.is_none().then_some(own);
        self.memory
            .insert(memory, Memory::found(len, file, own, watch));
        Ok(())
    }

    /// Forgets returned memory that was not examined yet.
    pub(super) fn forget_returned(&mut self, version: u64) {
        let file = self.returned.remove(&version);
        self.close_elsewhere(Vec::from_iter(file));
    }

    /// Writes the number of the newest version on the page of a share.
    pub(super) fn published(&mut self, share: u64, number: u64) {
        if let Some(page) = self.share_pages.get(&share) {
            page.writer.publish(number);
        }
    }

    /// A version will be sent to no plugin any more: closes its descriptors.
    pub(super) fn retired(&mut self, version: u64) {
        let old = self.memory.get_mut(&AnyMemory::Version(version));
        if let Some((old, freeing)) = old.map(|old| (old.retire(), old.freeing)) {
            self.close_memory(old, freeing);
        }
    }

    /// Sends the page of a share, and the memory of a version if one is named.
    pub(super) fn send_share(
        &mut self,
        to: PluginId,
        (share, version): (u64, Option<u64>),
        record: ShareToPlugin,
        now: Instant,
    ) {
        let Some(page) = self.share_pages.get(&share) else {
            return;
        };
        let memory = version.map(AnyMemory::Version);
        let memory = memory.and_then(|memory| self.memory.get(&memory)?.reader_file());
        let descriptors = [page.file.clone()].into_iter().chain(memory).collect();
        self.send(to, record, descriptors, now);
    }

    /// Sends the memory of a version.
    pub(super) fn send_share_version(
        &mut self,
        to: PluginId,
        version: u64,
        record: ShareToPlugin,
        now: Instant,
    ) {
        let memory = self.memory.get(&AnyMemory::Version(version));
        if let Some(file) = memory.and_then(Memory::reader_file) {
            self.send(to, record, vec![file], now);
        }
    }

    /// The tag does not lead to a share any more: its page says that it is gone.
    pub(super) fn hide_share(&mut self, share: u64) {
        if let Some(page) = self.share_pages.get(&share) {
            page.writer.publish(0);
        }
    }

    /// A share has ended: its page says so, and is closed.
    pub(super) fn end_share(&mut self, share: u64) {
        if let Some(page) = self.share_pages.remove(&share) {
            page.writer.publish(0);
        }
    }
}
