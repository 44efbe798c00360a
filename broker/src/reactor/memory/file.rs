//! Some memory, as the broker has it, and what can be wrong with it once it is sealed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use callgate_layout::sys::memfd;
use nix::sys::inotify::WatchDescriptor;

/// The most bytes of memory that is freed in a moment: sixteen pages. Closing the last descriptor of a file frees its memory, which takes
/// milliseconds for 64 MiB.
const QUICK: u64 = 64 << 10;

/// How long to wait before memory is sealed once more that the kernel says is in use. Whoever keeps a map for writing by mistake hears of
/// it long before its time to be sealed is up, which would end its session.
const SEAL_PAUSES: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(20),
    Duration::from_millis(200),
];

/// How long it takes to free some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Freeing {
    /// No longer than waking another thread that does it.
    Quick,
    /// Nobody knows how long.
    Slow,
}

impl Freeing {
    /// Of a file that this broker has made, so that no memory lies beyond its end.
    fn of(len: u64) -> Freeing {
        match len <= QUICK {
            true => Freeing::Quick,
            false => Freeing::Slow,
        }
    }
}

/// Some memory, as the broker has it.
#[derive(Debug)]
pub(in crate::reactor) struct Memory {
    pub(super) len: u64,
    /// The broker's own descriptor. Nobody else gets that of an extent or a ring; `None` once that is sealed
    /// and watched.
    pub(super) own: Option<Arc<OwnedFd>>,
    /// The reader's, until it is sent; that of a ring for as long as that is of use. Other than that of an outbox it
    /// was opened before the writer had any, who could take away the permission to open the file.
    pub(super) reader: Option<Arc<OwnedFd>>,
    /// What was handed out last, while it waits in a queue.
    pub(super) unsent: Weak<OwnedFd>,
    /// What says when the memory of an extent or a ring is gone. Without one, the broker asks for leases on
    /// its own.
    pub(super) watch: Option<WatchDescriptor>,
    /// Whether it is gone already, though the extent is not let go of yet.
    pub(in crate::reactor) is_gone: bool,
    pub(in crate::reactor) freeing: Freeing,
}

/// What is wrong with memory that its writer says it has mapped.
#[derive(Debug)]
pub(in crate::reactor) enum Flaw {
    /// It could not be sealed: the writer has forbidden that.
    Sealed(io::Error),
    /// Only so many bytes of it are there.
    Missing(u64),
}

impl Flaw {
    /// What is wrong with memory of a share of so many bytes.
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
    /// Makes an outbox or a cell, of which all have one description; also the writer's descriptor.
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

    /// Makes an extent or a ring without memory, which `watch` is told of; also the writer's descriptor.
    pub(super) fn watched(
        name: &str,
        len: u64,
        watch: impl FnOnce(&OwnedFd) -> Option<WatchDescriptor>,
    ) -> io::Result<(Memory, Arc<OwnedFd>)> {
        let size = usize::try_from(len).map_err(io::Error::other)?;
        let made = memfd::create(name, size)?;
        // The description that this made does not count where a lease is asked for, so nobody gets it.
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

    /// Makes sealed memory with these bytes, which `watch` is told of.
    pub(super) fn copied(
        name: &str,
        bytes: &[u8],
        watch: impl FnOnce(&OwnedFd) -> Option<WatchDescriptor>,
    ) -> io::Result<Memory> {
        let made = memfd::sealed(name, bytes)?;
        // As for all that is handed out, not the description that this made.
        let open = || memfd::reopen(made.as_fd(), false).map(Arc::new);
        let reader = open()?;
        let watch = watch(&made);
        let own = match watch {
            Some(_) => None,
            // Only a lease needs it.
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

    /// Memory that a plugin had, and that nobody can change any more.
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
            // What its maker has allocated beyond its end before that was sealed, nobody knows.
            freeing: Freeing::Slow,
        }
    }

    /// Takes what would go to readers, where there are no more of them.
    pub(in crate::reactor) fn retire(&mut self) -> Option<Arc<OwnedFd>> {
        self.reader.take()
    }

    /// Whether what was handed out last has not left its queue. A plugin that could have it counted
    /// as used and returned would fill the queues with what nobody is charged for.
    pub(super) fn is_unsent(&self) -> bool {
        let ours = [&self.own, &self.reader].into_iter().flatten();
        let ours = ours.filter(|fd| Arc::as_ptr(fd) == self.unsent.as_ptr());
        self.unsent.strong_count() > ours.count()
    }

    /// The reader's descriptor, while the broker has it.
    pub(in crate::reactor) fn reader_file(&self) -> Option<Arc<OwnedFd>> {
        self.reader.clone()
    }

    /// What goes to the reader now.
    pub(in crate::reactor) fn take_reader(&mut self) -> Option<Arc<OwnedFd>> {
        let reader = self.reader.take()?;
        self.unsent = Arc::downgrade(&reader);
        Some(reader)
    }
}

/// Closes an extent or a ring to further writers, and then looks whether all of it is allocated: before, its
/// writer could still free some.
///
/// The kernel makes this wait for whoever writes or allocates at the moment. A hostile writer can make
/// that last as long as it lives (by writing from memory whose pages never come), so each of them is sealed
/// on a thread of its own: the writer's session ends when its time is up, and the thread with it.
pub(super) fn seal_allocated(own: &OwnedFd, len: u64, is_for_good: bool) -> Result<(), Flaw> {
    let sealed = match is_for_good {
        true => patiently(|| memfd::seal_for_good(own.as_fd())),
        false => memfd::seal_writer(own.as_fd()),
    };
    sealed.map_err(Flaw::Sealed)?;
    check_allocated(own, len)
}

/// Seals a version, a few times where the kernel says that it is in use. The kernel also says so while it uses a page itself, or for somebody
/// who only reads it (it moves pages, and `process_vm_readv` pins them), which its writer cannot know of: that is over in a moment.
fn patiently(seal: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for pause in SEAL_PAUSES {
        match seal() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(pause),
            sealed => return sealed,
        }
    }
    seal()
}

/// Whether all of some memory is there that nobody can free any more.
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

    /// Its maker was blamed for what the kernel, or somebody who looked at its memory, did at that moment.
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
