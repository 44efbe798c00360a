//! Maps of memory files.

use core::mem::ManuallyDrop;
#[cfg(not(callgate_loom))]
use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};

#[cfg(not(callgate_loom))]
use super::fork::ForkMark;
use super::memfd;

/// A shared map of a memory file, unmapped on drop. Forked children do not inherit it. Core dumps leave it out: what
/// peers wrote explains little of a crash, and the kernel reports the end of a process only after writing its dump.
#[derive(Debug)]
pub struct Mapping {
    map: ManuallyDrop<MmapRaw>,
    writable: bool,
    #[cfg(not(callgate_loom))]
    made: ForkMark,
}

impl Mapping {
    /// Maps `len` bytes for reading and writing.
    pub fn writable(fd: OwnedFd, len: usize) -> io::Result<Mapping> {
        Mapping::writable_of(fd.as_fd(), len)
    }

    /// The same, for a descriptor that the caller keeps.
    pub(crate) fn writable_of(fd: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        check_size(fd, len)?;
        let map = MmapOptions::new().len(len).map_raw(fd.as_raw_fd())?;
        Mapping::new(map, true)
    }

    /// Maps `len` bytes for reading.
    pub fn read_only(fd: OwnedFd, len: usize) -> io::Result<Mapping> {
        check_size(fd.as_fd(), len)?;
        let map = MmapOptions::new()
            .len(len)
            .map_raw_read_only(fd.as_raw_fd())?;
        Mapping::new(map, false)
    }

    fn new(map: MmapRaw, writable: bool) -> io::Result<Mapping> {
        map.advise(Advice::DontFork)?;
        map.advise(Advice::DontDump)?;
        Ok(Mapping {
            map: ManuallyDrop::new(map),
            writable,
            #[cfg(not(callgate_loom))]
            made: ForkMark::here(),
        })
    }

    /// Gives all of the map memory, charged to this process, so that no page fault needs memory later (and can fail).
    /// If the memory is to be `huge`, the kernel is asked for huge pages; it may give ordinary ones.
    pub fn populate(&self, huge: bool) -> io::Result<()> {
        if huge {
            // A kernel without huge pages gives ordinary ones.
            let _ = self.map.advise(Advice::HugePage);
        }
        loop {
            match self.map.advise(Advice::PopulateWrite) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// The number of bytes mapped.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this process may write through the map.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Where the map begins.
    #[cfg(not(callgate_loom))]
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: mmap never gives address zero to a program that did not ask for it.
        unsafe { NonNull::new_unchecked(self.map.as_mut_ptr()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A forked child has not inherited the map. It may have memory of its own at this address.
        #[cfg(not(callgate_loom))]
        if !self.made.is_here() {
            return;
        }
        // SAFETY: this is the only place that drops the map, and nothing uses it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.map) };
    }
}

/// Refuses a file that has fewer than `len` bytes, or that can lose some of them: a map of a file that shrinks would
/// fault.
fn check_size(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    if !memfd::has_sealed_size(fd) || memfd::len(fd)? < len as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the memory file is shorter than agreed, or its size is not sealed",
        ));
    }
    Ok(())
}
