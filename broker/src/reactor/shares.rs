//! Shares in the shell: their pages, the memory of their versions as it goes to many readers, and memory that plugins return.
//!
//! The broker has two descriptors of a share: its page, and the newest version. Both are for reading by others: the page is
//! sealed against all maps for writing but the broker's own, a version against every change.

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

/// What came with a datagram.
#[derive(Debug)]
pub(super) enum Came {
    Nothing,
    One(OwnedFd),
    /// Descriptors for which this process had no room, or of which there are too many.
    Cut,
}

impl Came {
    /// What the kernel says before the descriptors are looked at.
    pub(super) fn with(received: &Received) -> Came {
        match received.cut {
            true => Came::Cut,
            false => Came::Nothing,
        }
    }

    /// Whether that may be. Only memory that is returned has a descriptor; where it has none, that is said in an answer.
    pub(super) fn may_come_with(&self, record: Option<&ToBroker>) -> bool {
        let is_return = matches!(record, Some(ToBroker::Share(ShareToBroker::Return { .. })));
        is_return || matches!(self, Came::Nothing)
    }
}

/// What is wrong with memory that a plugin returns.
#[derive(Debug)]
enum Wrong {
    /// The plugin is to blame.
    Plugin(String),
    /// The kernel refused something.
    Kernel(io::Error),
}

/// Looks at memory that a plugin returns; gives descriptors of the broker's own, for reading alone.
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
    /// Keeps the first descriptor that came with a datagram; whether there were more.
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

    /// Closes what came with the last datagram and was not kept.
    pub(super) fn close_what_came(&mut self) {
        if let Came::One(file) = mem::replace(&mut self.came, Came::Nothing) {
            self.close_elsewhere(vec![file]);
        }
    }

    /// Closes descriptors of plugins, of which nobody knows how long that takes, on a thread of its own.
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

    /// Makes memory for a version, and its share's page where there is none yet; sends the memory to its maker.
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

    /// Makes sealed memory for a version of which the bytes came along, and its share's page where there is none yet. Nobody else has had
    /// that memory, so that the kernel waits for nobody.
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

    /// Makes the page of a share, if it has none, where there is room for so many descriptors of it. A further version takes the place of
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

    /// Keeps the memory that came with the record which is read now.
    pub(super) fn keep_returned(&mut self, from: PluginId, version: u64, now: Instant) {
        let failure = match mem::replace(&mut self.came, Came::Nothing) {
            // Many may wait until they are looked at.
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

    /// Looks at memory that a plugin returned, on a thread of its own: it may be anything.
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
            // They may be the last ones of much memory.
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
        // Only a lease needs it.
        let own = watch.is_none().then_some(own);
        self.memory
            .insert(memory, Memory::found(len, file, own, watch));
        Ok(())
    }

    /// Forgets memory that was returned and not looked at yet.
    pub(super) fn forget_returned(&mut self, version: u64) {
        let file = self.returned.remove(&version);
        self.close_elsewhere(Vec::from_iter(file));
    }

    /// Says on the page of a share which version is the newest one.
    pub(super) fn published(&mut self, share: u64, number: u64) {
        if let Some(page) = self.share_pages.get(&share) {
            page.writer.publish(number);
        }
    }

    /// A version is sent to nobody any more.
    pub(super) fn retired(&mut self, version: u64) {
        let old = self.memory.get_mut(&AnyMemory::Version(version));
        if let Some((old, freeing)) = old.map(|old| (old.retire(), old.freeing)) {
            self.close_memory(old, freeing);
        }
    }

    /// Sends the page of a share, and perhaps a version.
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

    /// Sends a version.
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

    /// A share is found no more.
    pub(super) fn hide_share(&mut self, share: u64) {
        if let Some(page) = self.share_pages.get(&share) {
            page.writer.publish(0);
        }
    }

    /// A share is gone.
    pub(super) fn end_share(&mut self, share: u64) {
        if let Some(page) = self.share_pages.remove(&share) {
            page.writer.publish(0);
        }
    }
}
