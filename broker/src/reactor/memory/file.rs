//! A memory file of the broker, and what can be wrong with it once it is sealed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use callgate_layout::sys::memfd;
use nix::sys::inotify::WatchDescriptor;

/// A file of at most so many bytes (sixteen pages) is freed in a moment. Closing the last descriptor of a file frees its memory, which
/// takes milliseconds for 64 MiB.
const QUICK: u64 = 64 << 10;

/// The pauses before memory is sealed again that the kernel says is in use. They are short beside the time for sealing, after which a
/// session ends: so a plugin that keeps a map for writing by mistake is told of it and keeps its session.
const SEAL_PAUSES: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(20),
    Duration::from_millis(200),
];

/// How long it takes to free a memory file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Freeing {
    /// About as long as waking the helper thread would take, so it is closed here.
    Quick,
    /// Unknown, so the helper thread closes it.
    Slow,
}

impl Freeing {
    /// For a file that this broker has made, which therefore has no memory beyond its end.
    fn of(len: u64) -> Freeing {
        match len <= QUICK {
            true => Freeing::Quick,
            false => Freeing::Slow,
        }
    }
}

/// A memory file, with the broker's descriptors of it.
#[derive(Debug)]
pub(in crate::reactor) struct Memory {
    pub(super) len: u64,
    /// The broker's own descriptor. Of an extent or a ring no plugin gets it; there it is `None` once the memory is sealed and watched.
    pub(super) own: Option<Arc<OwnedFd>>,
    /// The reader's descriptor, until it is sent; of a ring, for as long as the ring is used. Except for an outbox, it was opened before
    /// the writer had a descriptor, because a writer could take away the permission to open the file.
    pub(super) reader: Option<Arc<OwnedFd>>,
    /// The descriptor that was handed out last, while it waits in a queue.
    pub(super) unsent: Weak<OwnedFd>,
    /// The watch that reports when the memory is gone. Without one, the broker asks for leases on its own descriptor.
    pub(super) watch: Option<WatchDescriptor>,
    /// Whether the memory is gone already, although the bus has not let it go yet.
    pub(in crate::reactor) is_gone: bool,
    pub(in crate::reactor) freeing: Freeing,
}

/// Why memory cannot be used that its writer says it has mapped.
#[derive(Debug)]
pub(in crate::reactor) enum Flaw {
    /// It could not be sealed, because the writer has forbidden that.
    Sealed(io::Error),
    /// Only so many bytes of it are allocated.
    Missing(u64),
}

impl Flaw {
    /// The message for a version of a share of `len` bytes.
    pub(in crate::reactor) fn of_share(&self, len: u64) -> String {
        match self {
            Flaw::Sealed(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                "it wrote a share, and the memory is mapped for writing still, or a device writes to it".into()
            }
            Flaw::Sealed(error) => format!("the memory of its share cannot be sealed: {error}"),
            Flaw::Missing(allocated) => {
                format!("it wrote a share of {len} bytes, of which only {allocated} are allocated")
            }
        }
    }
}

impl Memory {
    /// Makes an outbox or a cell, of which all processes share one description. Returns also the writer's descriptor.
    pub(in crate::reactor) fn shared(name: &str, len: u32) -> io::Result<(Memory, Arc<OwnedFd>)> {
        let made = Arc::new(memfd::create(name, len as usize)?);
        let memory = Memory {
            len: len.into(),
            own: Some(made.clone()),
            reader: Some(made.clone()),
            unsent: Arc::downgrade(&made),
            watch: None,
            is_gone: false,
            freeing: Freeing::Slow,
        };
        Ok((memory, made))
    }

    /// Makes an empty extent, ring or version, and calls `watch` with it. Returns also the writer's descriptor.
    pub(super) fn watched(
        name: &str,
        len: u64,
        watch: impl FnOnce(&OwnedFd) -> Option<WatchDescriptor>,
    ) -> io::Result<(Memory, Arc<OwnedFd>)> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let made = memfd::create(name, size)?;
        // Leases do not count the description that created the file, so no plugin gets that one.
        let open = |writable| memfd::reopen(made.as_fd(), writable).map(Arc::new);
        let (own, writer, reader) = (open(true)?, open(true)?, open(false)?);
        let memory = Memory {
            len,
            own: Some(own),
            reader: Some(reader),
            unsent: Arc::downgrade(&writer),
            watch: watch(&made),
            is_gone: false,
            freeing: Freeing::of(len),
        };
        Ok((memory, writer))
    }

    /// Makes sealed memory with these bytes, and calls `watch` with it.
    pub(super) fn copied(
        name: &str,
        bytes: &[u8],
        watch: impl FnOnce(&OwnedFd) -> Option<WatchDescriptor>,
    ) -> io::Result<Memory> {
        let made = memfd::sealed(name, bytes)?;
        // As above, no plugin gets the description that created the file.
        let open = || memfd::reopen(made.as_fd(), false).map(Arc::new);
        let reader = open()?;
        let watch = watch(&made);
        let own = match watch {
            Some(_) => None,
            // Only asking for leases needs it.
            None => Some(open()?),
        };
        let len = bytes.len() as u64;
        Ok(Memory {
            len,
            own,
            reader: Some(reader),
            unsent: Weak::new(),
            watch,
            is_gone: false,
            freeing: Freeing::of(len),
        })
    }

    /// Sealed memory that a plugin had, or that was loaded from a file.
    pub(in crate::reactor) fn found(
        len: u64,
        file: OwnedFd,
        own: Option<OwnedFd>,
        watch: Option<WatchDescriptor>,
    ) -> Memory {
        Memory {
            len,
            own: own.map(Arc::new),
            reader: Some(Arc::new(file)),
            unsent: Weak::new(),
            watch,
            is_gone: false,
            // Its maker may have allocated memory beyond its end before it was sealed; nobody knows how much.
            freeing: Freeing::Slow,
        }
    }

    /// Takes the descriptor for readers out, because there will be no more readers.
    pub(in crate::reactor) fn retire(&mut self) -> Option<Arc<OwnedFd>> {
        self.reader.take()
    }

    /// Whether the descriptor that was handed out last is still in a queue. A plugin that could say it had used and returned such memory
    /// would fill the queues with memory that nobody is charged for.
    pub(super) fn is_unsent(&self) -> bool {
        let ours = [&self.own, &self.reader].into_iter().flatten();
        let ours = ours.filter(|fd| Arc::as_ptr(fd) == self.unsent.as_ptr());
        self.unsent.strong_count() > ours.count()
    }

    /// The descriptor for readers, while the broker has it.
    pub(in crate::reactor) fn reader_file(&self) -> Option<Arc<OwnedFd>> {
        self.reader.clone()
    }

    /// Takes the descriptor that is sent to the reader now.
    pub(in crate::reactor) fn take_reader(&mut self) -> Option<Arc<OwnedFd>> {
        let reader = self.reader.take()?;
        self.unsent = Arc::downgrade(&reader);
        Some(reader)
    }
}

/// Seals memory against further writers, or (with `is_for_good`) against every change, and then checks that all of it is allocated.
/// Checking earlier would not do, because the writer could still free some.
///
/// The kernel makes sealing wait for a process that writes or allocates at that moment. A hostile writer can make that last as long as it
/// lives (by writing from memory whose pages never come). So each file is sealed on a thread of its own: when its time is up, the writer's
/// session ends.
pub(super) fn seal_allocated(own: &OwnedFd, len: u64, is_for_good: bool) -> Result<(), Flaw> {
    let sealed = match is_for_good {
        true => patiently(|| memfd::seal_for_good(own.as_fd())),
        false => memfd::seal_writer(own.as_fd()),
    };
    sealed.map_err(Flaw::Sealed)?;
    check_allocated(own, len)
}

/// Seals a version, and tries a few more times if the kernel says that it is in use. The kernel also says so while it uses a page itself,
/// or for a process that only reads it (moving pages, or pages that `process_vm_readv` pins). The writer cannot know of that, and it is
/// over in a moment.
fn patiently(seal: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for pause in SEAL_PAUSES {
        match seal() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(pause),
            sealed => return sealed,
        }
    }
    seal()
}

/// Checks that all of some sealed memory is allocated, which nobody can free any more.
pub(in crate::reactor) fn check_allocated(own: &OwnedFd, len: u64) -> Result<(), Flaw> {
    let allocated = memfd::allocated(own.as_fd()).map_err(Flaw::Sealed)?;
    match allocated < len {
        true => Err(Flaw::Missing(allocated)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use nix::errno::Errno;

    use super::*;

    /// A maker was blamed for what the kernel, or a process that looked at its memory, did at that moment.
    #[test]
    fn what_is_in_use_for_a_moment_is_sealed_and_what_stays_so_is_not() {
        let (busy, done) = (io::ErrorKind::ResourceBusy, None);
        let tries = |answers: [Option<Errno>; 4]| {
            let count = Cell::new(0);
            let sealed = patiently(|| {
                count.set(count.get() + 1);
                answers[count.get() - 1].map_or(Ok(()), |errno| Err(errno.into()))
            });
            (sealed.map_err(|error| error.kind()), count.get())
        };
        assert_eq!(tries([done; 4]), (Ok(()), 1));
        let again = [Some(Errno::EBUSY), Some(Errno::EBUSY), done, done];
        assert_eq!(tries(again), (Ok(()), 3));
        assert_eq!(tries([Some(Errno::EBUSY); 4]), (Err(busy), 4));
        let (_, count) = tries([Some(Errno::EPERM); 4]);
        assert_eq!(count, 1, "others have sealed it");
    }
}
