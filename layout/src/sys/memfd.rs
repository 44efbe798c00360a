//! Anonymous memory files and their seals.
//!
//! An outbox or status page is made with [`create`] (sealed against shrinking and growing from
//! the start, so that nobody can truncate it under another's feet), mapped by its one writer,
//! and then closed to all further writers by [`seal_writer`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use super::standard;

/// Makes a zeroed memory file of `len` bytes whose size is sealed.
pub fn create(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = unsealed(name, len)?;
    add(fd.as_fd(), SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
    Ok(fd)
}

/// As [`create`], with all memory allocated, so that no page fault of a reader or writer ever
/// has to (and can fail to) allocate.
pub fn create_allocated(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = unsealed(name, len)?;
    fallocate(&fd, FallocateFlags::empty(), 0, len as i64)?;
    add(fd.as_fd(), SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
    Ok(fd)
}

/// Makes a memory file that holds `bytes` and that nobody can change any more.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = unsealed(name, 0)?;
    let mut file = std::fs::File::from(fd);
    io::Write::write_all(&mut file, bytes)?;
    let fd = OwnedFd::from(file);
    add(
        fd.as_fd(),
        SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL,
    )?;
    Ok(fd)
}

/// Ends the time in which the memory can be mapped for writing; who has it mapped keeps it.
///
/// Fails where somebody else has sealed the file against sealing.
pub fn seal_writer(fd: BorrowedFd<'_>) -> io::Result<()> {
    add(fd, SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL)
}

/// Keeps a file's seals as they are, for memory that stays writable: doorbells.
pub fn seal_seals(fd: BorrowedFd<'_>) -> io::Result<()> {
    add(fd, SealFlag::F_SEAL_SEAL)
}

/// Whether the file's size is sealed, so that a map of it stays whole.
pub fn has_sealed_size(fd: BorrowedFd<'_>) -> bool {
    let wanted = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(fd, FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(wanted))
}

fn unsealed(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let fd = standard::above(fd)?;
    ftruncate(&fd, len as i64)?;
    Ok(fd)
}

fn add(fd: BorrowedFd<'_>, seals: SealFlag) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
